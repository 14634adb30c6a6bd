package ingress

import (
	"cmp"
	"slices"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Answer is what one format makes of a cookie's value.
type Answer struct {
	Format  string
	Decoded affinity.Decoded
}

// Verdict is what several formats together make of a value.
type Verdict struct {
	// Answers are those of the formats whose shape the value has, the surest
	// first.
	Answers []Answer
	// Decided is the answer that names the pod; nil when none does.
	Decided *Answer
	// Tie reports that answers just as sure, or one alone, name more than one
	// endpoint.
	Tie bool
}

// Formats returns every format of every controller in the table. Backends are
// the names that salt some of them, "namespace-service-port" with the port as
// the Ingress writes it.
func Formats(backends []string) []affinity.Decoder {
	var all []affinity.Decoder
	for _, c := range Controllers {
		all = append(all, c.Decoders(backends)...)
	}
	return all
}

// Decode reads a value without knowing whose it is. A shape only proposes; a
// hit decides, one that cannot be chance before one that can.
func Decode(value string, set affinity.EndpointSet, formats []affinity.Decoder) Verdict {
	var v Verdict
	for _, f := range formats {
		d := f.Table(set).Lookup(value)
		a := Answer{f.Name(), d}
		if d.Shaped && !slices.ContainsFunc(v.Answers, a.same) {
			v.Answers = append(v.Answers, a)
		}
	}
	slices.SortStableFunc(v.Answers, func(a, b Answer) int { return cmp.Compare(b.rank(), a.rank()) })
	if len(v.Answers) == 0 || v.Answers[0].rank() == 0 {
		return v
	}
	best := v.Answers[0]
	for _, a := range v.Answers {
		if a.rank() == best.rank() && !slices.EqualFunc(a.Decoded.Endpoints, best.Decoded.Endpoints, sameAddr) {
			v.Tie = true
		}
	}
	v.Tie = v.Tie || len(best.Decoded.Endpoints) > 1
	if !v.Tie {
		v.Decided = &v.Answers[0]
	}
	return v
}

// rank orders answers: 3 a digest of an endpoint, 2 a guess for a backend that
// the value itself names, 1 a guess, 0 no endpoint.
func (a Answer) rank() int {
	switch {
	case len(a.Decoded.Endpoints) == 0:
		return 0
	case a.Decoded.Exact:
		return 3
	case a.Decoded.Backend != "":
		return 2
	}
	return 1
}

// same reports whether b adds nothing to a: formats differ by backend name
// only.
func (a Answer) same(b Answer) bool {
	return a.Format == b.Format && a.Decoded.Backend == b.Decoded.Backend && a.Decoded.Exact == b.Decoded.Exact &&
		slices.EqualFunc(a.Decoded.Endpoints, b.Decoded.Endpoints, sameAddr)
}

func sameAddr(a, b affinity.Endpoint) bool { return a.Addr == b.Addr }
