package affinity

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Target is what the user asked to see.
type Target struct {
	Kind      string // "service", "pod", "url", a route's kind in lower case ("ingress", "httproute") or that of a Via; "" for everything there is
	Namespace string // "" for any
	Name      string
	Port      string // of a Service that is asked itself: name or number; "" for its first
	Direct    bool   // the Service itself, past any ingress
}

// IsZero reports whether the user named nothing; a namespace alone is a place
// to look, not a target.
func (t Target) IsZero() bool { return t.Kind == "" }

func (t Target) String() string {
	if t.Kind == "" {
		return t.Name
	}
	return t.Kind + "/" + t.Name
}

// Matches reports whether r belongs to t.
func (t Target) Matches(r Route) bool {
	for _, v := range r.Via {
		if v.Kind == t.Kind && v.Name == t.Name && (t.Namespace == "" || t.Namespace == v.Namespace) {
			return true
		}
	}
	if t.Namespace != "" && r.Namespace != "" && t.Namespace != r.Namespace {
		return false
	}
	switch t.Kind {
	case "":
		return true
	case "service":
		return r.Backend.Service.Name == t.Name && (r.Kind == RouteService || !t.Direct)
	case "url":
		return r.Kind == RouteURL
	}
	return strings.EqualFold(r.Kind, t.Kind) && r.Name == t.Name
}

// Budget bounds a plan.
type Budget struct {
	PerRoute   int                   // sessions for each route, of all kinds together
	Max        int                   // sessions in all
	Transports []string              // several take turns; "" alone when empty
	Clients    []ClientModel         // several take turns, each with every transport that it speaks; "" alone when empty
	Paths      map[string]string     // SessionSpec.Path, by transport
	From       []netip.Addr          // one browser for each, in place of PerRoute
	Node       string                // SessionSpec.Node of them
	Nodes      map[netip.Addr]string // of those that differ
	Extra      map[RouteID]int       // sessions opened by hand, on top
	Closed     map[SessionID]bool    // sessions ended by hand, never reopened
}

// Plan is which sessions should exist, and the routes they go to.
type Plan struct {
	Sessions []SessionSpec
	Routes   []Route
	Dropped  int // sessions that Max left no room for

	// Faceless are the sessions whose last answer was an error page that
	// nothing showed a pod behind: they ask less often until one is.
	Faceless map[SessionID]bool
}

// MakePlan returns the sessions that routes should have, keeping those of prev
// whose route is still there, so that an ID never changes its meaning.
func MakePlan(prev []SessionSpec, routes []Route, b Budget) Plan {
	plan := Plan{Routes: routes}
	have := map[RouteID][]SessionSpec{}
	next, kinds := 1, b.Kinds()
	if len(kinds) == 0 {
		return plan
	}
	for _, s := range prev {
		var n int
		if _, err := fmt.Sscanf(string(s.ID), "s%d", &n); err == nil && n >= next {
			next = n + 1
		}
		have[s.Route] = append(have[s.Route], s)
	}
	for _, r := range routes {
		all := have[r.ID]
		want := b.perRoute() + b.Extra[r.ID]
		made := 0
		for _, s := range all {
			made++
			if !b.Closed[s.ID] {
				plan.Sessions = append(plan.Sessions, s)
			}
		}
		for ; made < want; made++ {
			k, tab, browser := kindOf(kinds, made)
			spec := SessionSpec{ID: SessionID(fmt.Sprintf("s%02d", next)), Route: r.ID, Transport: k.Transport, Client: k.Client, Path: b.Paths[k.Transport]}
			if spec.Client.Tabs() > 1 {
				spec.Jar = spec.ID
				if first := made - tab; tab > 0 && first < len(all) {
					spec.Jar = all[first].ID
				}
			}
			if len(b.From) > 0 {
				spec.From = b.From[browser%len(b.From)]
				spec.Node = cmp.Or(b.Nodes[spec.From], b.Node)
			}
			all = append(all[:len(all):len(all)], spec)
			plan.Sessions = append(plan.Sessions, spec)
			next++
		}
	}
	if b.Max > 0 && len(plan.Sessions) > b.Max {
		plan.Dropped = len(plan.Sessions) - b.Max
		plan.Sessions = plan.Sessions[:b.Max]
	}
	return plan
}

// SessionKind is what tells the sessions of one route apart: what they speak,
// and for whom.
type SessionKind struct {
	Transport string
	Client    ClientModel
}

// Kinds are the kinds that take turns: each client model with each transport
// that it speaks.
func (b Budget) Kinds() []SessionKind {
	transports, clients := b.Transports, b.Clients
	if len(transports) == 0 {
		transports = []string{""}
	}
	if len(clients) == 0 {
		clients = []ClientModel{""}
	}
	var all []SessionKind
	for _, m := range clients {
		for _, t := range transports {
			if m.Speaks(t) {
				all = append(all, SessionKind{t, m})
			}
		}
	}
	return all
}

// kindOf returns the kind of a route's n-th session, which tab of its browser
// it is, and how many browsers come before that one. Each kind has browsers of
// its own.
func kindOf(all []SessionKind, n int) (k SessionKind, tab, browser int) {
	round := 0
	for _, k := range all {
		round += k.Client.Tabs()
	}
	browser = n / round * len(all)
	n %= round
	for _, k := range all {
		if n < k.Client.Tabs() {
			return k, n, browser
		}
		n -= k.Client.Tabs()
		browser++
	}
	return all[0], 0, browser
}

// perRoute is how many sessions a route gets: enough for one of each kind,
// where it gets any, or one browser, all its tabs, for each address.
func (b Budget) perRoute() int {
	all, n := b.Kinds(), 0
	if len(b.From) > 0 {
		for i := range b.From {
			n += all[i%len(all)].Client.Tabs()
		}
		return n
	}
	if b.PerRoute == 0 {
		return 0
	}
	for _, k := range all {
		n += k.Client.Tabs()
	}
	return max(b.PerRoute, n)
}

// CommandKind is something a user may ask of a running engine.
type CommandKind uint8

const (
	CommandOpen       CommandKind = iota // one more session on Route
	CommandClose                         // end Session
	CommandDropCookie                    // Session forgets its cookies
	CommandReprobe                       // Session asks at once
	CommandSelect                        // probe what Target names
	CommandReconnect                     // watches reconnect now
	CommandPerform                       // Action of the demo world
)

// Command is a request from the screen. It is queued, never waited for.
type Command struct {
	Kind    CommandKind
	Route   RouteID
	Session SessionID
	Target  Target
	Action  string
}

// RouteKey builds the RouteID of an object's rule.
func RouteKey(kind, namespace, name, host, path string) RouteID {
	if host == "" {
		host = "*"
	}
	if path == "" {
		path = "/"
	}
	if namespace != "" { // an object of a file may have none
		namespace += "/"
	}
	if kind == RouteIngress {
		return RouteID(namespace + name + " " + host + path)
	}
	return RouteID(strings.ToLower(kind) + ":" + namespace + name + " " + host + path)
}
