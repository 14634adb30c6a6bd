//go:build !linux

package kernel

import "time"

type (
	conn     = *struct{}
	dumpConn = *struct{}
)

func threadTime() time.Duration { return 0 }

func processTime() time.Duration { return 0 }

func (r *Reader) read(*expected) (reading, error) { return reading{}, ErrUnsupported }

func (r *Reader) closeNFT() {}
