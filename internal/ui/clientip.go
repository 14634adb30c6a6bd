package ui

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// endedFor is how long a pin that ended stays in the list.
const endedFor = time.Minute

// maxFills bounds the lists of nodes that are shown, fullest first.
const maxFills = 16

// clientIPPanel lists the pins by address: those that hold, and those that
// ended a moment ago. What it makes of a snapshot is made when that is new and
// the panel is on screen; a frame draws the rows in its window alone.
type clientIPPanel struct {
	table[pinRow]
	filterLine
	sortBy string
	down   bool
	full   bool // the pin under the cursor fills the screen

	live, ended int
	fills       []affinity.AddressList // fullest first
	owners      map[netip.Addr]affinity.AddressOwner
	sessions    map[netip.Addr]string // of our own, by their addresses
	elsewhere   []pinRow              // other pins of the address under the cursor, when full
	made        clientIPInput
	madeAt      time.Time
	ownersOf    podsID
}

// pinRow is a pin that holds or, with end, one that ended.
type pinRow struct {
	*affinity.AddressPin
	end *affinity.AddressEnd
}

func (r pinRow) same(x pinRow) bool {
	return r.Client == x.Client && r.AddressKey == x.AddressKey && (r.end == nil) == (x.end == nil)
}

// clientIPInput is what the rows were made from. Unchanged parts of snapshots
// are shared, so that their first element tells.
type clientIPInput struct {
	first  *affinity.AddressPin
	at     **affinity.AddressPin
	lists  *affinity.AddressList
	n      int
	ended  uint64
	second int64 // where the rows depend on the time
	filter string
	sortBy string
	down   bool
	target affinity.Target
	cursor affinity.AddressKey // when full
}

type podsID struct {
	first, other *affinity.Pod
	n, others    int
}

func (p *clientIPPanel) input(d *data) clientIPInput {
	in := clientIPInput{n: len(d.snap.AddressPins), filter: p.filterLine.input, sortBy: p.sortBy, down: p.down, target: d.target}
	if in.n > 0 {
		in.first, in.at = d.snap.AddressPins[0], &d.snap.AddressPins[0]
	}
	if len(d.snap.AddressLists) > 0 {
		in.lists = &d.snap.AddressLists[0]
	}
	if n := len(d.snap.AddressEnds); n > 0 {
		in.ended = d.snap.AddressEnds[n-1].Seq
	}
	if p.match != nil || p.ended > 0 {
		in.second = d.now.Unix()
	}
	if r, ok := p.selected(); ok && p.full {
		in.cursor = r.AddressKey
	}
	return in
}

// refresh takes over a new snapshot or instant, while the panel is shown.
func (p *clientIPPanel) refresh(d *data, shown bool) {
	if !shown {
		return
	}
	if now := (podsID{n: len(d.snap.Pods), others: len(d.snap.IngressPods)}); now.n+now.others > 0 {
		if now.n > 0 {
			now.first = &d.snap.Pods[0]
		}
		if now.others > 0 {
			now.other = &d.snap.IngressPods[0]
		}
		if now != p.ownersOf {
			p.ownersOf, p.owners = now, d.snap.Owners()
		}
	}
	p.sessions = sessionsByAddress(d)
	in := p.input(d)
	if in == p.made || in.asks() == p.made.asks() && d.now.Sub(p.madeAt) < time.Duration(in.n/10_000)*time.Second {
		return
	}
	wanted := d.snap.Meant(d.target)
	rows := p.rowsOf(d, wanted)
	p.order(d, rows)
	old, had := p.selected()
	if at := slices.IndexFunc(rows, func(r pinRow) bool { return had && r.same(old) }); at >= 0 {
		p.cursor = rows[at]
	}
	p.set(rows)
	p.fills = fullest(d.snap.AddressLists, wanted)
	p.elsewhere = nil
	if r, ok := p.selected(); ok && p.full {
		p.elsewhere = elsewhere(d, r)
	}
	p.made, p.madeAt = p.input(d), d.now
}

// asks is the part of the input that the user has a hand in. While it stays,
// the rows of very many pins are made anew less often; those on screen show
// what is known now all the same.
func (in clientIPInput) asks() clientIPInput {
	return clientIPInput{filter: in.filter, sortBy: in.sortBy, down: in.down, target: in.target, cursor: in.cursor}
}

// now is a row as the snapshot has it.
func (r pinRow) now(d *data) pinRow {
	if r.end == nil {
		if pin := d.snap.AddressPin(r.AddressKey); pin != nil {
			return pinRow{AddressPin: pin}
		}
	}
	return r
}

// rowsOf returns the rows that the filter passes: pins by Service, port,
// address and node, then those that ended, newest first.
func (p *clientIPPanel) rowsOf(d *data, wanted func(affinity.ServiceRef) bool) []pinRow {
	p.live, p.ended = 0, 0
	rows := make([]pinRow, 0, len(d.snap.AddressPins))
	seen := map[affinity.AddressKey]bool{}
	var last affinity.ServiceRef
	meant := false
	add := func(r pinRow, n *int) {
		if r.Service != last {
			last, meant = r.Service, wanted(r.Service)
		}
		if !meant {
			return
		}
		*n++
		if p.match == nil || p.match.match(p.view(d, r)) {
			rows = append(rows, r)
		}
	}
	for _, pin := range d.snap.AddressPins {
		add(pinRow{AddressPin: pin}, &p.live)
	}
	for i := len(d.snap.AddressEnds) - 1; i >= 0; i-- {
		e := &d.snap.AddressEnds[i]
		if d.now.Sub(e.At) > endedFor || p.ended >= maxEndedRows {
			break
		}
		if !seen[e.AddressKey] && d.snap.AddressPin(e.AddressKey) == nil {
			seen[e.AddressKey] = true
			add(pinRow{AddressPin: &e.AddressPin, end: e}, &p.ended)
		}
	}
	return rows
}

// maxEndedRows bounds the ended pins that are listed.
const maxEndedRows = 200

// order sorts rows by the chosen column; alike ones stay in their order.
func (p *clientIPPanel) order(d *data, rows []pinRow) {
	if p.sortBy != "" && p.sortBy != "service" {
		type keyed struct {
			row pinRow
			key sortKey
		}
		all := make([]keyed, len(rows))
		for i, r := range rows {
			all[i] = keyed{r, p.key(d, r)}
		}
		slices.SortStableFunc(all, func(a, b keyed) int {
			if p.sortBy == "address" {
				return a.row.Client.Compare(b.row.Client)
			}
			return a.key.compare(b.key)
		})
		for i := range all {
			rows[i] = all[i].row
		}
	}
	if p.down {
		slices.Reverse(rows)
	}
}

func (p *clientIPPanel) key(d *data, r pinRow) sortKey {
	switch p.sortBy {
	case "who":
		return sortKey{text: p.sessions[r.Client] + p.who(r).String()}
	case "node":
		return sortKey{text: r.Node}
	case "pod":
		pod, _ := d.snap.Pod(r.Pod)
		return sortKey{num: int64(len(pod.Tag)), text: pod.Tag + " " + r.Endpoint}
	case "fuse":
		if left, ok := r.Remaining(d.now); ok && r.end == nil {
			return sortKey{num: int64(left)}
		}
		return sortKey{num: never}
	case "source":
		return sortKey{num: -int64(r.Source)}
	case "since":
		return sortKey{num: r.Since.UnixNano()}
	case "state":
		return sortKey{num: pinSeverity(r, d.now)}
	}
	return sortKey{}
}

// sortOn chooses the column to sort by, or turns the order around.
func (p *clientIPPanel) sortOn(name string) {
	if cmp.Or(p.sortBy, "service") == name {
		p.down = !p.down
		return
	}
	p.sortBy, p.down = name, false
}

// who says whose address it is.
func (p *clientIPPanel) who(r pinRow) affinity.AddressOwner { return p.owners[r.Client] }

// fullest returns the lists that are nearest to their limit.
func fullest(lists []affinity.AddressList, wanted func(affinity.ServiceRef) bool) []affinity.AddressList {
	var all []affinity.AddressList
	for _, l := range lists {
		if wanted(l.Service) {
			all = append(all, l)
		}
	}
	slices.SortStableFunc(all, func(a, b affinity.AddressList) int {
		return cmp.Or(cmp.Compare(taken(b), taken(a)), cmp.Compare(b.Live, a.Live))
	})
	return all[:min(len(all), maxFills)]
}

// taken is the part of a list that is taken, 0 where its limit is not known.
func taken(l affinity.AddressList) float64 {
	if l.Limit <= 0 {
		return 0
	}
	return min(1, float64(l.Live+l.Expired)/float64(l.Limit))
}

// elsewhere returns the other pins of the address of r.
func elsewhere(d *data, r pinRow) []pinRow {
	var out []pinRow
	for _, p := range d.snap.AddressPins {
		if p.Client == r.Client && p.AddressKey != r.AddressKey && len(out) < 32 {
			out = append(out, pinRow{AddressPin: p})
		}
	}
	return out
}

// pinState is what a pin is in one word.
func pinState(r pinRow, now time.Time) (string, style) {
	switch {
	case r.end != nil && r.end.Reason == affinity.AddressEndRemoved:
		return "removed", warn
	case r.end != nil && r.end.Reason == affinity.AddressEndEvicted:
		return "evicted", broken
	case r.end != nil && r.end.Reason == affinity.AddressEndOff:
		return "off", warn
	case r.end != nil:
		return r.end.Reason.String(), muted
	case r.Over(now):
		return "expired", muted
	case r.Shadowed:
		return "shadowed", silent
	}
	return "pinned", plain
}

// pinSeverity puts what needs a look first.
func pinSeverity(r pinRow, now time.Time) int64 {
	word, _ := pinState(r, now)
	return int64(slices.Index([]string{"evicted", "removed", "off", "shadowed", "gone", "unread", "expired", "pinned"}, word))
}

// pinFields are what filters can ask of a pin.
var pinFields = []string{"address", "who", "node", "family", "service", "namespace", "port", "pod", "fuse", "left", "source", "state", "age"}

// pinView is a pin as filters see it.
type pinView struct {
	pinRow
	d   *data
	who string
}

func (p *clientIPPanel) view(d *data, r pinRow) pinView {
	return pinView{r, d, strings.TrimSpace(p.sessions[r.Client] + " " + p.who(r).String())}
}

// sessionsByAddress names the sessions that have addresses of their own.
func sessionsByAddress(d *data) map[netip.Addr]string {
	all := map[netip.Addr]string{}
	for _, s := range d.snap.Sessions {
		if ip := s.Spec.From.Unmap(); ip.IsValid() && s.ClosedAt.IsZero() {
			all[ip] = strings.TrimSpace(all[ip] + " " + string(s.Spec.ID))
		}
	}
	return all
}

func (v pinView) text() string {
	state, _ := pinState(v.pinRow, v.d.now)
	pod, _ := v.d.snap.Pod(v.Pod)
	return strings.Join([]string{v.Client.String(), v.who, v.Node, servicePort(v.AddressPin), pod.Tag, v.Pod.Short(), v.Pod.Name, v.Endpoint, v.Source.String(), state}, " ")
}

func (v pinView) field(name string) field {
	switch name {
	case "address":
		return words(v.Client.String())
	case "who":
		return words(strings.Fields(v.who)...)
	case "node":
		return words(v.Node)
	case "family":
		return words(v.Family())
	case "service":
		return words(v.Service.Name, v.Service.String())
	case "namespace":
		return words(v.Service.Namespace)
	case "port":
		return field{words: []string{v.PortName, strconv.Itoa(v.Port)}, num: float64(v.Port), hasNum: true}
	case "pod":
		pod, _ := v.d.snap.Pod(v.Pod)
		return words(pod.Tag, v.Pod.Name, v.Pod.Short(), v.Endpoint)
	case "fuse", "left":
		if left, ok := v.Remaining(v.d.now); ok && v.end == nil {
			return span(left, time.Second)
		}
		return noSpan(time.Second)
	case "source":
		return words(v.Source.String())
	case "age":
		return span(v.d.now.Sub(v.Since), time.Second)
	}
	state, _ := pinState(v.pinRow, v.d.now)
	return words(state)
}

// servicePort is "echo:http", or "echo:80" for a port without a name.
func servicePort(p *affinity.AddressPin) string {
	return p.Service.Name + ":" + cmp.Or(p.PortName, strconv.Itoa(p.Port))
}

// pinsOnPods counts the pins by address of the Services behind the routes in
// scope, by pod.
func (d *data) pinsOnPods() (on map[affinity.PodRef]int, total int) {
	on = map[affinity.PodRef]int{}
	for _, l := range d.snap.AddressLists {
		if slices.ContainsFunc(d.scope, func(r affinity.Route) bool { return r.Backend.Service == l.Service }) {
			on[l.Pod] += l.Live
			total += l.Live
		}
	}
	return on, total
}

// kernelSources are those that read nodes' tables.
func (d *data) kernelSources() []affinity.SourceStatus {
	return slices.DeleteFunc(slices.Clone(d.snap.Sources), func(s affinity.SourceStatus) bool { return !s.OfNode() })
}

// nodeTrouble says which node's tables are not read, "" when all are.
func (d *data) nodeTrouble() string {
	for _, s := range d.kernelSources() {
		if s.State != affinity.SourceLive && s.State != affinity.SourceSyncing && len(d.snap.AddressPins) > 0 {
			return s.Name + " " + s.State.String() + ": " + s.Detail
		}
	}
	return ""
}

// agentTrouble says which agents are lost, "" when all answer.
func (d *data) agentTrouble() string {
	for _, s := range d.snap.Sources {
		if s.Name == affinity.AgentsSource && s.State == affinity.SourceStale {
			return s.Detail
		}
	}
	return ""
}

// addressNote says of the Service's own layer of r what is known of it: whether
// it decides, and how many clients it holds.
func (d *data) addressNote(l affinity.Layer) string {
	if l.Where != affinity.LayerService || l.Policy().Mechanism != affinity.MechanismClientIP {
		return ""
	}
	_, total := d.pinsOnPods()
	text := ""
	if total > 0 || len(d.snap.AddressLists) > 0 {
		text = plural(total, "address is", "addresses are") + " pinned (6 ClientIP)"
	}
	switch {
	case l.Bypassed != "" && text != "":
		return l.Object + " bypassed, past it " + text + ": " + l.Bypassed
	case l.Bypassed != "":
		return l.Object + " bypassed: " + l.Bypassed
	case text != "":
		return l.Object + " decides by the client's address; " + text
	}
	return l.Object + " decides by the client's address"
}
