package probe

import (
	"net/http"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// blameClock adds to offers that had ended when they arrived that they had not
// by the server's own clock: the date of its answer (RFC 9110 §6.6.1) is before
// their Expires.
func blameClock(offers []affinity.Offer, date string, now time.Time) {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return
	}
	for i := range offers {
		o := &offers[i]
		if !o.Deletes || !strings.HasPrefix(o.NotReturned, "Expires=") || !o.Expires.After(theirs) {
			continue
		}
		o.NotReturned = affinity.Clean(o.NotReturned+": the server's clock is "+now.Sub(theirs).Round(time.Second).String()+" behind this one's", maxText)
	}
}
