package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Limits of one JSON text.
const (
	maxString  = 64 << 10 // bytes of a string that pass
	maxLiteral = 64       // bytes of a number or a word
	maxDepth   = 64
)

// shortener passes JSON on with its long strings cut and without white space,
// so that a decoder, which holds a whole token at a time, is bounded. It does
// not check what it passes; the decoder does.
type shortener struct {
	r     io.Reader
	chunk [32 << 10]byte
	buf   []byte // of chunk, to be scanned
	err   error
	read  int64

	inside bool // a string
	cut    bool // the string is at its limit
	escape int  // bytes of an escape sequence to come
	kind   bool // the next of them tells the sequence's kind
	length int  // of the string or literal so far
	depth  int
}

func newShortener(r io.Reader) *shortener { return &shortener{r: r} }

// Read implements io.Reader.
func (s *shortener) Read(p []byte) (n int, err error) {
	for n == 0 && len(p) > 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
		for n < len(p) && len(s.buf) > 0 {
			pass, err := s.step(s.buf[0])
			if err != nil {
				return n, err
			}
			if pass {
				p[n] = s.buf[0]
				n++
			}
			s.buf = s.buf[1:]
		}
	}
	return n, nil
}

// fill reads more when everything read was scanned.
func (s *shortener) fill() error {
	for len(s.buf) == 0 {
		if s.err != nil {
			return s.err
		}
		n, err := s.r.Read(s.chunk[:])
		s.buf, s.err = s.chunk[:n], err
		if s.read == 0 { // a byte order mark, which some tools write first
			s.buf = bytes.TrimPrefix(s.buf, []byte("\xef\xbb\xbf"))
		}
		if s.read += int64(n); s.read > MaxHAR {
			return fmt.Errorf("larger than %d MiB", MaxHAR>>20)
		}
	}
	return nil
}

// step reports whether a byte passes.
func (s *shortener) step(c byte) (bool, error) {
	if s.inside {
		return s.stepInside(c), nil
	}
	switch c {
	case '"':
		s.inside = true
	case '{', '[':
		if s.depth++; s.depth > maxDepth {
			return false, errors.New("nested too deep")
		}
	case '}', ']':
		s.depth--
	case ',', ':':
	case ' ', '\t', '\n', '\r':
		pass := s.length > 0 // one ends a literal, more are nothing
		s.length = 0
		return pass, nil
	default:
		if s.length++; s.length > maxLiteral {
			return false, errors.New("a number or word that is too long")
		}
		return true, nil
	}
	s.length = 0
	return true, nil
}

// stepInside passes a string up to its limit, and never half of an escape
// sequence.
func (s *shortener) stepInside(c byte) bool {
	switch {
	case s.escape > 0:
		s.escape--
		if s.kind && c == 'u' {
			s.escape = 4
		}
		s.kind = false
		return !s.cut
	case c == '"':
		s.inside, s.cut, s.length = false, false, 0
		return true
	}
	s.cut = s.cut || s.length >= maxString
	if c == '\\' {
		s.escape, s.kind = 1, true
	}
	s.length++
	return !s.cut
}
