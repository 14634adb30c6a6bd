package cookie

import (
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	at := func(y int, m time.Month, d, h, min, s int) time.Time {
		return time.Date(y, m, d, h, min, s, 0, time.UTC)
	}
	tests := []struct {
		in   string
		want time.Time // zero: not a date
	}{
		// What servers write.
		{"Mon, 23-Nov-26 11:35:31 GMT", at(2026, 11, 23, 11, 35, 31)}, // nginx, ingress-nginx
		{"Thu, 31-Dec-37 23:55:55 GMT", at(2037, 12, 31, 23, 55, 55)}, // nginx "expires max"
		{"Sun, 06 Nov 1994 08:49:37 GMT", at(1994, 11, 6, 8, 49, 37)}, // RFC 1123
		{"Sunday, 06-Nov-94 08:49:37 GMT", at(1994, 11, 6, 8, 49, 37)},
		{"Sun Nov  6 08:49:37 1994", at(1994, 11, 6, 8, 49, 37)}, // asctime
		{"Thu, 01 Jan 1970 00:00:00 GMT", at(1970, 1, 1, 0, 0, 0)},
		{"Thu, 01-Jan-1970 00:00:01 GMT", at(1970, 1, 1, 0, 0, 1)}, // HAProxy's deletion

		// The algorithm's freedoms.
		{"1994 nov 06 8:9:7", at(1994, 11, 6, 8, 9, 7)},
		{"08:49:37 06 November 94", at(1994, 11, 6, 8, 49, 37)},
		{"06Nov 08:49:37 1994", time.Time{}}, // "06Nov" is a day; no month is left
		{"06,Nov,1994,08:49:37,PST", at(1994, 11, 6, 8, 49, 37)},
		{"6 Nov 1994 08:49:37.123+02:00", at(1994, 11, 6, 8, 49, 37)},
		{"6th Nov 1994 08:49:37", at(1994, 11, 6, 8, 49, 37)},
		{"6 Nov 94BC 08:49:37", at(1994, 11, 6, 8, 49, 37)},
		{"6 Nov 69 08:49:37", at(2069, 11, 6, 8, 49, 37)},
		{"6 Nov 70 08:49:37", at(1970, 11, 6, 8, 49, 37)},
		{"6 Nov 00 08:49:37", at(2000, 11, 6, 8, 49, 37)},
		{"29 Feb 2024 00:00:00", at(2024, 2, 29, 0, 0, 0)},
		{"6 7 Nov 94 08:49:37", at(1994, 11, 6, 8, 49, 37)}, // a year has two digits

		// Not dates.
		{"", time.Time{}},
		{"never", time.Time{}},
		{"0", time.Time{}},
		{"-1", time.Time{}},
		{"Sun, 06 Nov 1994", time.Time{}},
		{"08:49:37 GMT", time.Time{}},
		{"06 Nov 1994 08:49", time.Time{}},
		{"06 Nov 1994 24:00:00", time.Time{}},
		{"06 Nov 1994 08:60:00", time.Time{}},
		{"06 Nov 1994 08:49:60", time.Time{}},
		{"06 Nov 1994 008:49:37", time.Time{}},
		{"06 Nov 1994 08:049:37", time.Time{}},
		{"00 Nov 1994 08:49:37", time.Time{}},
		{"32 Nov 1994 08:49:37", time.Time{}},
		{"31 Nov 1994 08:49:37", time.Time{}},
		{"29 Feb 2023 00:00:00", time.Time{}},
		{"06 Nov 1600 08:49:37", time.Time{}},
		{"06 Nov 19940 08:49:37", time.Time{}},
		{"06 Foo 1994 08:49:37", time.Time{}},
	}
	for _, tt := range tests {
		got, ok := ParseDate(tt.in)
		if ok == tt.want.IsZero() || !got.Equal(tt.want) {
			t.Errorf("ParseDate(%q) = %v, %v, want %v", tt.in, got, ok, tt.want)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	f.Add("Mon, 23-Nov-26 11:35:31 GMT")
	f.Add("Sun Nov  6 08:49:37 1994")
	f.Add("31 Feb 1601 23:59:59\xff")
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := ParseDate(s)
		if !ok {
			if !at.IsZero() {
				t.Fatalf("ParseDate(%q) is no date, yet %v", s, at)
			}
			return
		}
		if at.Year() < 1601 || at.Year() > 9999 {
			t.Fatalf("ParseDate(%q) = %v, out of range", s, at)
		}
		// Every date is read back from each of the forms servers use.
		for _, layout := range []string{time.RFC1123, "Monday, 02-Jan-2006 15:04:05 GMT", time.ANSIC} {
			if again, ok := ParseDate(at.Format(layout)); !ok || !again.Equal(at) {
				t.Fatalf("ParseDate(%q) = %v, %v, want %v", at.Format(layout), again, ok, at)
			}
		}
	})
}
