package cookie

import (
	"strings"
	"time"
)

// ParseDate reads a date by the algorithm of RFC 6265 §5.1.1, which takes what
// servers really write: RFC 1123, RFC 850 with its two-digit years
// ("Mon, 23-Nov-26 11:35:31 GMT", as nginx and ingress-nginx do), asctime, and
// the same parts in any order. The time zone is ignored: it is UTC.
func ParseDate(s string) (t time.Time, ok bool) {
	var d date
	for token := range strings.FieldsFuncSeq(s, isDelimiter) {
		d.take(token)
	}
	return d.time()
}

// date collects the parts that were found; each is taken once.
type date struct {
	hour, minute, second int
	day, year            int
	month                time.Month
	hasTime, hasDay      bool
	hasMonth, hasYear    bool
}

func (d *date) take(token string) {
	if !d.hasTime {
		if h, m, s, ok := clock(token); ok {
			d.hour, d.minute, d.second, d.hasTime = h, m, s, true
			return
		}
	}
	if !d.hasDay {
		if n, ok := number(token, 1, 2); ok {
			d.day, d.hasDay = n, true
			return
		}
	}
	if !d.hasMonth {
		if m, ok := month(token); ok {
			d.month, d.hasMonth = m, true
			return
		}
	}
	if !d.hasYear {
		if n, ok := number(token, 2, 4); ok {
			d.year, d.hasYear = fullYear(n), true
		}
	}
}

func (d *date) time() (t time.Time, ok bool) {
	switch {
	case !d.hasTime || !d.hasDay || !d.hasMonth || !d.hasYear:
		return time.Time{}, false
	case d.hour > 23 || d.minute > 59 || d.second > 59 || d.year < 1601:
		return time.Time{}, false
	}
	t = time.Date(d.year, d.month, d.day, d.hour, d.minute, d.second, 0, time.UTC)
	if t.Day() != d.day { // 31 February
		return time.Time{}, false
	}
	return t, true
}

func fullYear(n int) int {
	switch {
	case n >= 70 && n <= 99:
		return n + 1900
	case n >= 0 && n <= 69:
		return n + 2000
	}
	return n
}

// clock reads hours, minutes and seconds of one or two digits each.
func clock(token string) (h, m, s int, ok bool) {
	first, rest, ok1 := strings.Cut(token, ":")
	second, third, ok2 := strings.Cut(rest, ":")
	if !ok1 || !ok2 || !isDigits(first) || !isDigits(second) {
		return 0, 0, 0, false
	}
	h, okH := number(first, 1, 2)
	m, okM := number(second, 1, 2)
	s, okS := number(third, 1, 2)
	return h, m, s, okH && okM && okS
}

// number reads the digits a token starts with, when there are at least low and
// at most high of them; anything but a digit may follow.
func number(token string, low, high int) (n int, ok bool) {
	i := 0
	for ; i < len(token) && isDigit(token[i]); i++ {
		if i == high {
			return 0, false
		}
		n = n*10 + int(token[i]-'0')
	}
	return n, i >= low
}

func month(token string) (m time.Month, ok bool) {
	if len(token) < 3 {
		return 0, false
	}
	for m := time.January; m <= time.December; m++ {
		if strings.EqualFold(token[:3], m.String()[:3]) {
			return m, true
		}
	}
	return 0, false
}

func isDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isDelimiter(r rune) bool {
	return r == 0x09 || 0x20 <= r && r <= 0x2f || 0x3b <= r && r <= 0x40 ||
		0x5b <= r && r <= 0x60 || 0x7b <= r && r <= 0x7e
}
