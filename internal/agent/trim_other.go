//go:build !linux

package agent

import "errors"

func trim() error { return errors.ErrUnsupported }
