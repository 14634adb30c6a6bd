package term

// OnQuit does nothing: Windows has no such signal.
func (*Rescue) OnQuit(func()) (stop func()) { return func() {} }
