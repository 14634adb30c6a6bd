package ingress

import "github.com/kubestickytop/stickytop/internal/affinity"

// Longest texts of objects that are kept, in runes.
const (
	maxPath = 1024
	maxText = 256
	maxNote = 400
)

// clean makes every text of a route that objects brought along fit to be
// shown. ProbePath is fit for a request already.
func clean(r *affinity.Route) {
	r.ID = affinity.RouteID(affinity.Clean(string(r.ID), maxPath+3*maxText))
	for _, s := range []*string{&r.Namespace, &r.Name, &r.Host, &r.PathType, &r.Class, &r.Backend.Service.Namespace,
		&r.Backend.Service.Name, &r.Backend.Port, &r.Backend.PortName} {
		*s = affinity.Clean(*s, maxText)
	}
	r.Path = affinity.Clean(r.Path, maxPath)
	r.Addresses = cleanAll(r.Addresses, maxText)
	r.Notes = cleanAll(r.Notes, maxNote)
	for i := range r.Layers {
		l := &r.Layers[i]
		l.Object, l.Bypassed = affinity.Clean(l.Object, maxText), affinity.Clean(l.Bypassed, maxNote)
		for j := range l.Candidates {
			cleanPolicy(&l.Candidates[j])
		}
	}
}

func cleanPolicy(p *affinity.Policy) {
	c := &p.Cookie
	for _, s := range []*string{&p.Controller, &c.Name, &c.Domain, &c.SameSite} {
		*s = affinity.Clean(*s, maxText)
	}
	c.Path = affinity.Clean(c.Path, maxPath)
	p.Why, p.Assumed = affinity.Clean(p.Why, maxNote), affinity.Clean(p.Assumed, maxNote)
	p.ReadTimeoutWhy, p.AnswerTimeoutWhy = affinity.Clean(p.ReadTimeoutWhy, maxNote), affinity.Clean(p.AnswerTimeoutWhy, maxNote)
	p.Notes = cleanAll(p.Notes, maxNote)
	for i := range p.Branches {
		b := &p.Branches[i]
		for _, s := range []*string{&b.Backend.Service.Namespace, &b.Backend.Service.Name, &b.Backend.Port, &b.Backend.PortName, &b.Object, &b.Share, &b.Cookie} {
			*s = affinity.Clean(*s, maxText)
		}
		b.Child = cleanAll(b.Child, maxText) // as a decoder gives them
	}
	p.Child = cleanAll(p.Child, maxText)
	for i := range p.Levels {
		l := &p.Levels[i]
		l.Children = cleanAll(l.Children, maxText)
		l.Object, l.Cookie.Name = affinity.Clean(l.Object, maxText), affinity.Clean(l.Cookie.Name, maxText)
	}
}

// cleanAll returns a copy: notes are shared between routes.
func cleanAll(all []string, max int) []string {
	if all == nil {
		return nil
	}
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = affinity.Clean(s, max)
	}
	return out
}
