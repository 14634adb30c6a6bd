package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// MaxHAR is how much of a HAR file is read, in bytes. Bodies are most of one,
// and pass through without being held.
const MaxHAR = 1 << 30

// HAR reads the cookies of every request and response of a HAR file (HTTP
// Archive 1.2), in the order of their first appearance. Memory is bounded
// whatever the file holds.
func HAR(r io.Reader) (cookies []Cookie, left int, err error) {
	h := har{d: json.NewDecoder(newShortener(io.LimitReader(r, MaxHAR+1)))}
	if err := h.file(); err != nil {
		return nil, 0, err
	}
	if !h.log {
		return nil, 0, errors.New("no HAR file: it has no log.entries")
	}
	return h.jar.cookies, h.jar.left, nil
}

type har struct {
	d   *json.Decoder
	jar jar
	log bool // log.entries was there
}

func (h *har) file() error {
	return h.object(func(key string) error {
		if key != "log" {
			return h.skip()
		}
		return h.object(func(key string) error {
			if key != "entries" {
				return h.skip()
			}
			h.log = true
			return h.array(h.entry)
		})
	})
}

// entry is one request and its response.
func (h *har) entry() error {
	var at time.Time
	var method, address string
	var seen []int
	text := func(to *string) error {
		s, err := h.text()
		*to = s
		return err
	}
	message := func(key string) error {
		switch key {
		case "method":
			return text(&method)
		case "url":
			return text(&address)
		case "headers", "cookies":
			return h.array(func() error {
				var name, value string
				err := h.object(func(key string) error {
					switch key {
					case "name":
						return text(&name)
					case "value":
						return text(&value)
					}
					return h.skip()
				})
				if key == "headers" {
					seen = append(seen, h.jar.header(strings.ToLower(name), value)...)
				} else if i := h.jar.add(name, value); i >= 0 {
					seen = append(seen, i)
				}
				return err
			})
		}
		return h.skip()
	}
	err := h.object(func(key string) error {
		switch key {
		case "startedDateTime":
			s, err := h.text()
			at, _ = time.Parse(time.RFC3339, s)
			return err
		case "request", "response":
			return h.object(message)
		}
		return h.skip()
	})
	counted := map[int]bool{}
	for _, i := range seen {
		if !counted[i] {
			counted[i] = true
			h.jar.cookies[i].sighted(at, method, address)
		}
	}
	return err
}

// sighted counts a request that had the cookie.
func (c *Cookie) sighted(at time.Time, method, address string) {
	if c.Count++; c.Count == 1 {
		c.Where = affinity.Clean(strings.TrimSpace(method+" "+withoutQuery(address)), 200)
	}
	if at.IsZero() {
		return
	}
	if c.First.IsZero() || at.Before(c.First) {
		c.First = at
	}
	if at.After(c.Last) {
		c.Last = at
	}
}

// withoutQuery leaves out what may be secret.
func withoutQuery(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// object reads an object, each of whose values field must read; anything else
// is passed over.
func (h *har) object(field func(key string) error) error {
	return h.list('{', func() error {
		key, err := h.d.Token()
		if err != nil {
			return broken(err)
		}
		name, _ := key.(string)
		return field(name)
	})
}

func (h *har) array(element func() error) error { return h.list('[', element) }

func (h *har) list(open json.Delim, element func() error) error {
	t, err := h.d.Token()
	if err != nil {
		return broken(err)
	}
	if t != open {
		return h.rest(t)
	}
	for h.d.More() {
		if err := element(); err != nil {
			return err
		}
	}
	_, err = h.d.Token()
	return broken(err)
}

// text reads a string; anything else is passed over.
func (h *har) text() (string, error) {
	t, err := h.d.Token()
	if err != nil {
		return "", broken(err)
	}
	s, _ := t.(string)
	return s, h.rest(t)
}

func (h *har) skip() error {
	t, err := h.d.Token()
	if err != nil {
		return broken(err)
	}
	return h.rest(t)
}

// rest reads to the end of the value that begins with t.
func (h *har) rest(t json.Token) error {
	depth := 0
	for {
		if d, ok := t.(json.Delim); ok {
			if d == '{' || d == '[' {
				depth++
			} else {
				depth--
			}
		}
		if depth <= 0 {
			return nil
		}
		var err error
		if t, err = h.d.Token(); err != nil {
			return broken(err)
		}
	}
}

func broken(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the HAR file ends in the middle")
	}
	return fmt.Errorf("the HAR file cannot be read: %w", err)
}

// LooksLikeHAR reports whether a text begins as a HAR file does: with an object
// of JSON, which no cookie does, nor what browsers copy as cURL.
func LooksLikeHAR(text []byte) bool {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	if len(text) == 0 || text[0] != '{' {
		return false
	}
	text = bytes.TrimSpace(text[1:])
	return len(text) > 0 && (text[0] == '"' || text[0] == '}')
}
