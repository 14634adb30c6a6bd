//go:build !linux

package kernel

type conn = *struct{}

func (r *Reader) read(*expected) (reading, error) { return reading{}, ErrUnsupported }

func (r *Reader) closeNFT() {}
