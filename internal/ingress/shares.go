package ingress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// sharer is a Service that gets a share of a rule's requests, by its weight.
type sharer struct {
	ref    affinity.ServiceRef
	port   string // number or name
	weight int
	at     int // what it is of: an index of the caller's
}

// sharing is what a rule's Services come down to.
type sharing struct {
	first sharer // with the largest weight, the first of several; zero for none
	rest  []sharer
	total int
	notes []string
}

// share takes the Services of a rule. One without a weight above zero gets
// nothing; the same Service twice is one, and at is that of the larger. beside is the weight of what is no
// Service.
func share(all []sharer, beside int) (s sharing) {
	var names []string
	var got []sharer
	var most []int // the largest single weight of each
	s.total = beside
	for _, x := range all {
		if x.weight <= 0 {
			continue
		}
		s.total += x.weight
		if i := slices.IndexFunc(got, func(y sharer) bool { return y.ref == x.ref && y.port == x.port }); i >= 0 {
			if x.weight > most[i] {
				got[i].at, most[i] = x.at, x.weight
			}
			got[i].weight += x.weight
			continue
		}
		most = append(most, x.weight)
		got = append(got, x)
	}
	if len(got) == 0 {
		if len(all) > 0 {
			s.first = all[0]
			s.notes = []string{"no Service has a weight: no request gets through"}
		}
		return s
	}
	slices.SortStableFunc(got, func(a, b sharer) int { return b.weight - a.weight })
	if len(got) > maxTraefikLeaves {
		s.notes = []string{fmt.Sprintf("more than %d services: the rest is not read", maxTraefikLeaves)}
		got = got[:maxTraefikLeaves]
	}
	s.first, s.rest = got[0], got[1:]
	for _, x := range got {
		names = append(names, fmt.Sprintf("%s:%s (%s)", x.ref, x.port, s.of(x)))
	}
	if len(got) > 1 {
		s.notes = append(s.notes, "requests are shared by "+strings.Join(names, ", "))
	}
	return s
}

func (s sharing) of(x sharer) string { return fmt.Sprintf("weight %d/%d", x.weight, s.total) }

// branch is a Service that object gives a share of its requests.
func (w *World) branch(x sharer, object, share string) affinity.Branch {
	b := affinity.Branch{Backend: affinity.Backend{Service: x.ref, Port: x.port}, Object: object, Share: share}
	s := w.services[x.ref]
	if port := portOf(s, x.port); port != nil {
		b.Backend.PortName = port.Name
	} else if s != nil && x.port == "" && len(s.Ports) == 1 {
		b.Backend.PortName = s.Ports[0].Name
	}
	return b
}

// branches are the rest of a rule's Services, each with the cookie that holds a
// client there as its policy says.
func (w *World) branches(s sharing, object string, policy func(sharer) Reading) (all []affinity.Branch) {
	for _, x := range s.rest {
		b := w.branch(x, object, s.of(x))
		if p := policy(x).withUpstream().Policy; p.Mechanism == affinity.MechanismCookie {
			b.Cookie, b.Decoder = p.Cookie.Name, p.Decoder
		}
		all = append(all, b)
	}
	return all
}
