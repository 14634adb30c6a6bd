package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// document is one YAML document, or one item of a List in block style.
type document struct {
	text    []byte
	line    int // of its first byte in the file, from 1
	tooLong bool
	item    bool // below a List's items
	after   bool // a JSON value is before it, in the same document
}

// last is the number of its last line.
func (d document) last() int { return d.line + bytes.Count(d.text, []byte("\n")) }

// splitter cuts a stream into documents, one in memory at a time. Items of a
// List in block style are documents of their own, so that the output of
// `kubectl get -A -o yaml` may be of any length.
type splitter struct {
	in    *bufio.Reader
	line  int // lines read
	items bool
	queue []document
	doc   document
	err   error
	done  bool
}

func newSplitter(r io.Reader) *splitter {
	s := &splitter{in: bufio.NewReaderSize(r, 64<<10)}
	if bom, err := s.in.Peek(3); err == nil && bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = s.in.Discard(3)
	}
	s.doc.line = 1
	return s
}

// next returns the next document that is not empty.
func (s *splitter) next() (document, bool) {
	for len(s.queue) == 0 && !s.done {
		s.readLine()
	}
	if len(s.queue) == 0 {
		return document{}, false
	}
	d := s.queue[0]
	s.queue = s.queue[1:]
	return d, true
}

// readLine takes one line in, or a part of one that is longer than the buffer.
func (s *splitter) readLine() {
	line, err := s.in.ReadSlice('\n')
	start := true
	for {
		if len(line) > 0 {
			if start {
				s.line++
				s.take(line)
			} else {
				s.add(line)
			}
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
		start = false
		line, err = s.in.ReadSlice('\n')
	}
	if err != nil {
		s.done = true
		if !errors.Is(err, io.EOF) {
			s.err = err
		}
		s.cut(s.line + 1)
	}
}

// take decides what a line begins.
func (s *splitter) take(line []byte) {
	switch {
	case marks(line, "---"):
		s.items = false
		s.cut(s.line)
		if rest := line[3:]; len(bytes.TrimSpace(rest)) > 0 && bytes.TrimSpace(rest)[0] != '#' {
			s.add(append([]byte("   "), rest...)) // columns stay as they are
		} else {
			s.add([]byte("\n"))
		}
	case marks(line, "..."):
		s.items = false
		s.cut(s.line + 1)
	case bytes.HasPrefix(line, []byte("items:")) && len(bytes.TrimSpace(line)) == len("items:"):
		s.items = true
		s.cut(s.line + 1)
	case s.items && bytes.HasPrefix(line, []byte("- ")):
		s.cut(s.line)
		s.add([]byte("  "))
		s.add(line[2:])
	case s.items && line[0] != ' ' && line[0] != '#' && line[0] != '\n' && line[0] != '\r':
		s.items = false // the List's own fields again
		s.cut(s.line)
		s.add(line)
	default:
		s.add(line)
	}
}

// marks reports whether a line is a document marker.
func marks(line []byte, marker string) bool {
	return bytes.HasPrefix(line, []byte(marker)) && (len(line) == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\n' || line[3] == '\r')
}

func (s *splitter) add(text []byte) {
	if s.doc.tooLong || len(s.doc.text)+len(text) > MaxDocument {
		s.doc.tooLong, s.doc.text = true, nil
		return
	}
	s.doc.text = append(s.doc.text, text...)
}

// cut ends the document; the next begins at line.
func (s *splitter) cut(line int) {
	if s.doc.tooLong || len(bytes.TrimSpace(s.doc.text)) > 0 {
		s.queue = append(s.queue, s.doc)
	}
	s.doc = document{line: line, item: s.items}
}
