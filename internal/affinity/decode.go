package affinity

import "time"

// EndpointSet is what a cookie may point at.
type EndpointSet struct {
	Current []Endpoint // in the EndpointSlices now, whatever their conditions
	Gone    []Endpoint // left the slices a while ago, newest first
}

// Decoder reads the pod out of one format of cookie value. Implementations are
// pure and live in internal/ingress, one file per controller.
type Decoder interface {
	// Name is the format: "ingress-nginx persistent".
	Name() string
	// Table prepares the look-ups over one set of endpoints. The result is
	// used for many values until the set changes.
	Table(EndpointSet) Table
}

// Table looks cookie values up.
type Table interface {
	// Lookup never panics and is bounded in time by len(value).
	Lookup(value string) Decoded
}

// Decoded is what a cookie value says.
type Decoded struct {
	// Shaped reports whether the value has this format's shape. A shape only
	// proposes: other controllers' values can have it too.
	Shaped bool
	// Endpoints are those the value names: none when it names none that are
	// known, more than one for a tie that cannot be decided.
	Endpoints []Endpoint
	Service   ServiceRef // of the Endpoints, where it is a Branch's; zero for the route's own. The State sets it
	Gone      bool       // Endpoints were found among the gone ones
	Exact     bool       // a hit cannot be chance (a digest matched), unlike a ring's, which always answers
	Addr      string     // the "ip:port" that the value holds in clear, known or not; "" when it holds none
	Backend   string     // the backend the value names, "default-web-80"; "" when the format has none or it is unknown
	Issued    time.Time  // when the value itself tells; zero otherwise
	Expires   time.Time  // when the value itself tells; zero otherwise
	Detail    string     // how it was found, safe to print
}

// Hit reports whether exactly one endpoint is named.
func (d Decoded) Hit() bool { return len(d.Endpoints) == 1 }
