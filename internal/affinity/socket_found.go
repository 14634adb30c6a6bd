package affinity

import (
	"slices"
	"time"
)

// foundKey is what a verdict of the sockets is about: one rule on one route,
// however many sessions show it. about keeps two causes under one rule apart.
type foundKey struct {
	rule  string
	route RouteID
	about string
}

// verdict is a finding of the sockets, with what may yet take it back.
type verdict struct {
	Finding
	proof
	seen time.Time // last shown
	seq  uint64    // of its line on the timeline
}

// proof is what a verdict rests on.
type proof struct {
	about     string
	request   string // X-Request-Id of the leg that showed it; "" for none
	handshake string // X-Request-Id of the handshake
	pod       PodRef // whose restart or end would account for it; zero for none
	// The handshake and the leg that was refused; zero for what rests on others.
	first, refused Leg
}

// maxTitle is the longest title of a finding, in runes.
const maxTitle = 110

// find records a verdict, once for each key, and puts it on the timeline. A
// likely one becomes exact when later evidence says so, and has its time then:
// f.At, or now where that is not set.
func (st *State) find(f Finding, p proof, now time.Time) {
	key := foundKey{f.Rule, f.Route, p.about}
	old, had := st.found[key]
	if had {
		f.Others = othersOf(old.Finding, f.Session)
	}
	if had && old.Certainty == f.Certainty && old.request == p.request && p.request != "" && old.Session == f.Session {
		st.tellBetter(key, old, f, p)
		return
	}
	if had && old.Certainty >= f.Certainty {
		if old.request != p.request {
			old.seen = now
			more := old.Session != f.Session && !slices.Contains(old.Others, f.Session)
			if more {
				old.Others = insertID(old.Others, f.Session)
			}
			st.found[key] = old
			if more {
				st.publish()
			}
		}
		return
	}
	if r := st.routes[f.Route]; r != nil && f.Object.Kind == "" && r.Kind != RouteURL {
		f.Object = ObjectRef{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
	}
	f.Title = Clean(f.Title, maxTitle)
	if f.At.IsZero() {
		f.At = now
	}
	level := LevelWarning
	switch {
	case f.Severity >= SeverityHigh:
		level = LevelBroken
	case f.Severity <= SeverityInfo:
		level = LevelInfo
	}
	text := f.Rule + " " + f.Title
	if had && old.Title == f.Title {
		text = f.Rule + " now certain: " + f.Title
	}
	seq := st.happen(Happening{At: now, Source: "probe", Kind: "finding", Session: f.Session, Route: f.Route, Level: level, Text: text})
	st.found[key] = verdict{Finding: f, proof: p, seen: now, seq: seq}
	jarless := foundKey{"B07", f.Route, ""}
	if (f.Rule == "I01" || f.Rule == "I03") && !st.keepsNothingID(f.Session) && st.speakAlike(st.found[jarless].Session, f.Session) {
		st.withdraw(jarless, "clients that keep cookies fail too")
	}
	st.publish()
}

// othersOf are the sessions that showed old, but for the one that shows it now.
func othersOf(old Finding, now SessionID) []SessionID {
	if old.Session == now {
		return old.Others
	}
	all := slices.Clone(old.Others)
	all = slices.DeleteFunc(all, func(id SessionID) bool { return id == now })
	return insertID(all, old.Session)
}

// insertID returns a copy of ids, which are in order, with id.
func insertID(ids []SessionID, id SessionID) []SessionID {
	at, had := slices.BinarySearchFunc(ids, id, compareIDs)
	if had {
		return ids
	}
	return slices.Insert(slices.Clone(ids), at, id)
}

// tellBetter puts what is known by now of the request that a verdict rests on in
// the place of what was known when it was found. Its line stays as it was.
func (st *State) tellBetter(key foundKey, old verdict, f Finding, p proof) {
	f.Object, f.Title, f.At = old.Object, Clean(f.Title, maxTitle), old.At
	if f.Title == old.Title && slices.Equal(f.Evidence, old.Evidence) {
		return
	}
	st.found[key] = verdict{Finding: f, proof: p, seen: old.seen, seq: old.seq}
	st.publish()
}

// speakAlike reports whether two sessions have one transport: what differs
// between them is not what they speak.
func (st *State) speakAlike(a, b SessionID) bool {
	x, y := st.sessions[a], st.sessions[b]
	return x != nil && y != nil && x.Spec.Transport == y.Spec.Transport
}

// publish makes the verdicts of the sockets findings.
func (st *State) publish() {
	all := make([]Finding, 0, len(st.found))
	for key, v := range st.found {
		if st.routes[key.route] != nil {
			all = append(all, v.Finding)
		}
	}
	SortFindings(all)
	st.setFindings("sockets", all)
}

// withdraw takes a verdict back, and says on its line of the timeline why.
func (st *State) withdraw(key foundKey, why string) {
	v, ok := st.found[key]
	if !ok {
		return
	}
	delete(st.found, key)
	for i := len(st.timeline) - 1; i >= 0 && st.timeline[i].Seq >= v.seq; i-- {
		if st.timeline[i].Seq == v.seq {
			st.timeline = slices.Clone(st.timeline)
			st.timeline[i].CauseText, st.timeline[i].Level = "taken back: "+why, LevelChange
		}
	}
	st.settleHidden(key.route)
	st.publish()
}

// outdated drops what is shown to hold no longer, by the session that showed
// it. Its line stays as it is: it was so.
func (st *State) outdated(key foundKey, by SessionID) {
	if v, ok := st.found[key]; ok && (by == "" || v.Session == by) {
		delete(st.found, key)
		st.settleHidden(key.route)
		st.publish()
	}
}

// settleHidden drops I04 with what it says is hidden.
func (st *State) settleHidden(route RouteID) {
	if _, _, broken := st.breaksPolling(route); !broken {
		delete(st.found, foundKey{"I04", route, ""})
	}
}

// edited drops the verdicts on how a route is configured: they were shown
// under the configuration before, and sessions will show again what is left.
// Those of the last moments may be the edit's own doing.
func (st *State) edited(route RouteID, now time.Time) {
	st.reconsider(now, func(v verdict) bool { return v.Route == route })
	delete(st.cookieWord, route)
	for key := range st.found {
		switch key.rule {
		case "I02", "I06", "I07", "I08":
		default:
			if key.route == route {
				st.outdated(key, "")
			}
		}
	}
}

// reconsider looks again at the verdicts of the last moments that concern
// says are concerned: a watch may be slower than a probe.
func (st *State) reconsider(now time.Time, concern func(verdict) bool) {
	for key, v := range st.found {
		s, ok := st.sessions[v.Session]
		if !ok || now.Sub(v.seen) > causeAfter || !concern(v) {
			continue
		}
		switch key.rule {
		case "I05", "I06":
			if _, text := st.endCause(s, now); text != "" && s.Socket != nil && s.Socket.Ended != nil && v.about != aboutPing {
				st.withdraw(key, text)
			}
		default:
			if st.judgeLegs(s, now); st.found[key].refused.RequestID == v.refused.RequestID && v.refused.RequestID != "" {
				st.judgeRefusal(s, v.first, v.refused, now) // its session has connected again since
			}
		}
	}
}

// podEnded drops what was said of the workers in a pod that is gone.
func (st *State) podEnded(ref PodRef, now time.Time) {
	st.reconsider(now, func(v verdict) bool { return v.pod == ref })
	for key, v := range st.found {
		if (key.rule == "I02" || key.about == aboutMixed) && v.pod == ref {
			st.outdated(key, "")
		}
	}
}
