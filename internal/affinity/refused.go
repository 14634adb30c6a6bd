package affinity

// RefusedBy is how a session fails that gets answers all the same: the way to
// the other side is open, and what it says is no use.
type RefusedBy uint8

const (
	RefusedNot     RefusedBy = iota // it does not fail, or gets no answer at all
	RefusedWords                    // the server, or a browser's rules, said no
	RefusedEnded                    // the server ended the connection in so many words
	RefusedForeign                  // an answer of another protocol, or version of it
	RefusedAway                     // to another place: a redirect off the host
)

// String is the end of a sentence about sessions.
func (r RefusedBy) String() string {
	return [...]string{"are not refused", "are answered, and refused", "are answered, and ended by the server", "are answered, and not as they asked",
		"are answered, and sent away"}[r]
}

// Reached reports whether the last request of s got an answer, be it an error
// page or a refusal: the way there was open.
func (s *Session) Reached() bool {
	return s.Requests > 0 && (s.InARow == 0 || s.LastStatus != 0 || s.Redirect != "")
}

// Refusal says how s is refused, as far as it last failed and was answered.
func (s *Session) Refusal() RefusedBy {
	f := s.LastFailure
	if f == nil || s.InARow == 0 {
		return RefusedNot
	}
	switch f.Kind {
	case FailureDenied, FailureSession:
		return RefusedWords
	case FailureForeign, FailureVersion:
		return RefusedForeign
	case FailureRedirect:
		return RefusedAway
	case FailureClosed:
		if end := s.LastEnd; end != nil && end.Failed == f && end.By == EndedByServer {
			return RefusedEnded
		}
	}
	return RefusedNot
}

// Advice is which options to try for a session that is answered, and not as it
// asked; "" where none is known to help.
func (s *Session) Advice() string {
	f := s.LastFailure
	switch {
	case f == nil || s.InARow == 0:
	case f.Kind == FailureVersion:
		return "--socketio-eio asks in the version that it names; without it sessions speak what the server speaks"
	case BadStatus(s.LastStatus):
	case f.Kind == FailureForeign && s.Spec.Transport == "socketio":
		return "--socketio-path says where the Socket.IO server is; --transport ws holds plain WebSockets"
	case f.Kind == FailureDenied && s.Spec.Client.Kind() == ClientCrossSite && s.Refusals == 0 && (s.LastEnd == nil || s.LastEnd.Failed != f):
		return "--origin names the page that they come from; --client browser acts for one of the same site"
	case f.Kind == FailureDenied && s.Spec.Transport == "ws" && s.LastStatus == 101:
		return "--ws-subprotocol names what the server speaks"
	}
	return ""
}
