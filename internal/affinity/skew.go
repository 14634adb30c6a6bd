package affinity

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Distribution is how sessions lie over pods, and whether chance explains it.
type Distribution struct {
	Shares      []Share // by tag; pods without sessions among them
	None        int     // sessions that no pod holds, as far as was seen
	Orphans     int     // sessions that a pod holds which is no usable endpoint
	Total       int     // sessions that a pod holds
	Fair        float64 // fraction each ready pod would have
	MaxOverMean float64 // largest share over the mean of the ready pods
	Chance      float64 // MaxOverMean to expect from picking at random
	Jain        float64 // Jain's fairness index, 1 is even
	ChiSquare   float64
	DF          int
	P           float64 // probability of a spread at least this uneven by chance
	Few         bool    // fewer than two sessions a pod: P, which is an approximation, says nothing
	Parts       int     // Services that share out the requests of one route: the fair share is then nobody's
	Verdict     string
}

// Share is one pod's part.
type Share struct {
	Pod         PodRef
	Tag         string
	Ready       bool
	ReadyUnread bool // whether it is ready is not known: neither its object nor an endpoint tells
	Pins        int
	Fraction    float64 // of Total
	ByTransport map[string]int
	other       bool // of another Service that shares the route's place
}

// Distribute counts the sessions of routes (all when empty) over the pods that
// can have them.
func Distribute(s *Snapshot, routes []RouteID) Distribution {
	want := func(id RouteID) bool { return len(routes) == 0 || slices.Contains(routes, id) }
	shares := map[PodRef]*Share{}
	share := func(pod PodRef) *Share {
		if shares[pod] == nil {
			p, _ := s.Pod(pod)
			shares[pod] = &Share{Pod: pod, Tag: p.Tag, ByTransport: map[string]int{}}
		}
		return shares[pod]
	}
	ofURL := map[RouteID]bool{} // any pod that answers is of theirs
	probed := map[RouteID]bool{}
	for _, x := range s.Sessions {
		probed[x.Spec.Route] = probed[x.Spec.Route] || x.ClosedAt.IsZero()
	}
	var d Distribution
	for _, r := range s.Routes {
		ofURL[r.ID] = r.Kind == RouteURL
		if !want(r.ID) || len(routes) == 0 && !probed[r.ID] {
			continue
		}
		for _, b := range r.Backends() {
			for _, e := range s.BackendEndpoints(b) {
				x := share(endpointPod(b.Service, e))
				x.Ready = x.Ready || e.Ready
			}
		}
		d.Parts = max(d.Parts, len(r.Backends()))
	}
	for _, x := range s.Sessions {
		if !want(x.Spec.Route) || !x.ClosedAt.IsZero() {
			continue
		}
		c, _ := x.Condition(s.At)
		unheld := x.Unheld || x.Pod.IsZero() || slices.Contains([]Condition{Waiting, Cookieless, NotReturned, Expired, Unknown}, c)
		if shares[x.Pod] == nil && !x.Pod.IsZero() && c != Orphan && !(unheld && ofURL[x.Spec.Route]) {
			// Of another Service that shares the route's place.
			pod, known := s.Pod(x.Pod)
			p := share(x.Pod)
			p.ReadyUnread, p.other = !known || pod.NamedOnly, true
			p.Ready = pod.Ready && !pod.Terminating() && pod.Gone.IsZero()
		}
		switch {
		case unheld:
			d.None++ // answered by a pod, perhaps, but held by none
			continue
		case c == Orphan:
			d.Orphans++
			continue
		}
		p := shares[x.Pod]
		p.Pins++
		p.ByTransport[x.Spec.Transport]++
		d.Total++
	}
	for _, x := range shares {
		if d.Total > 0 {
			x.Fraction = float64(x.Pins) / float64(d.Total)
		}
		d.Shares = append(d.Shares, *x)
	}
	slices.SortFunc(d.Shares, func(a, b Share) int {
		return cmp.Or(cmp.Compare(len(a.Tag), len(b.Tag)), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Pod.String(), b.Pod.String()))
	})
	d.judge()
	return d
}

// judge compares the spread over the ready pods with chance.
func (d *Distribution) judge() {
	var pins []int
	total := 0
	for _, s := range d.Shares {
		if s.Ready && !s.other || s.Pins > 0 {
			pins = append(pins, s.Pins)
			total += s.Pins
		}
	}
	n := len(pins)
	if d.Parts > 1 {
		d.P, d.Jain = 1, 1
		d.Verdict = fmt.Sprintf("not compared: %d Services share the requests", d.Parts)
		return
	}
	if n > 0 {
		d.Fair = 1 / float64(n)
	}
	if n < 2 || total == 0 {
		d.P, d.Jain = 1, 1
		d.Verdict = "nothing to compare"
		return
	}
	mean := float64(total) / float64(n)
	var squares float64
	for _, p := range pins {
		d.ChiSquare += (float64(p) - mean) * (float64(p) - mean) / mean
		squares += float64(p * p)
	}
	d.Jain = float64(total*total) / (float64(n) * squares)
	d.MaxOverMean = float64(slices.Max(pins)) / mean
	d.DF = n - 1
	d.P = chiSquareTail(d.ChiSquare, d.DF)
	d.Chance = expectedMax(n, mean)
	switch {
	case mean < 2:
		d.Few, d.Verdict = true, "too few sessions to tell"
	case d.P < 0.01:
		d.Verdict = "uneven: chance alone gives this in less than 1 of 100 runs"
	default:
		d.Verdict = "not a problem: chance alone looks like this"
	}
}

// expectedMax approximates the expected largest share over the mean when total
// sessions pick among n pods at random: normal approximation of the counts
// with the expected maximum of n normals, √(2 ln n) corrected by Blom.
func expectedMax(n int, mean float64) float64 {
	p := 1 / float64(n)
	sd := math.Sqrt(mean * (1 - p))
	z := math.Sqrt2 * math.Erfinv(2*((float64(n)-0.375)/(float64(n)+0.25))-1)
	return 1 + z*sd/mean
}

// chiSquareTail is P(X ≥ x) for a χ² variable with df degrees of freedom: the
// regularised upper incomplete gamma function Q(df/2, x/2), by its series below
// the mean and Lentz's continued fraction above (Numerical Recipes §6.2).
func chiSquareTail(x float64, df int) float64 {
	if x <= 0 {
		return 1
	}
	a, x := float64(df)/2, x/2
	lg, _ := math.Lgamma(a)
	front := math.Exp(-x + a*math.Log(x) - lg)
	if x < a+1 {
		sum, term := 1/a, 1/a
		for i := 1; i < 500 && term > sum*1e-12; i++ {
			term *= x / (a + float64(i))
			sum += term
		}
		return 1 - sum*front
	}
	const tiny = 1e-300
	b := x + 1 - a
	c, d := 1/tiny, 1/b
	h := d
	for i := 1; i < 500; i++ {
		an := -float64(i) * (float64(i) - a)
		b += 2
		d = 1 / nonZero(an*d+b, tiny)
		c = nonZero(b+an/c, tiny)
		h *= d * c
		if math.Abs(d*c-1) < 1e-12 {
			break
		}
	}
	return front * h
}

func nonZero(x, tiny float64) float64 {
	if math.Abs(x) < tiny {
		return tiny
	}
	return x
}
