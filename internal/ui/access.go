package ui

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// blindness says what is lost without a kind of object.
var blindness = map[string]string{
	"ingresses":      "routes and affinity settings are unknown",
	"services":       "ClientIP affinity and ports are unknown",
	"endpointslices": "pods behind a service, and why sessions move",
	"pods":           "pods by name alone; no drain, age or restarts",
	"ingressclasses": "which controller serves an ingress is guessed",
	"namespaces":     "namespaces come from the kubeconfig only",
	"kernel":         "who is pinned by address (6 ClientIP)",
	"ingressroutes":  "Traefik's IngressRoutes are not seen",
}

// groupsOf are the API groups that a Role names, of sources that do not tell.
var groupsOf = map[string]string{
	"ingresses": "networking.k8s.io", "ingressclasses": "networking.k8s.io", "endpointslices": "discovery.k8s.io",
	"services": "core", "pods": "core", "namespaces": "core", "ingressroutes": "traefik.io",
}

// installed parts the sources whose API is there from the names of the others,
// which are many and of no interest. What every screen is made of comes first.
func installed(all []affinity.SourceStatus) (shown []affinity.SourceStatus, absent []string) {
	var others []affinity.SourceStatus
	for _, s := range all {
		switch {
		case s.State == affinity.SourceAbsent:
			absent = append(absent, s.Name)
		case blindness[s.Name] != "":
			shown = append(shown, s)
		default:
			others = append(others, s)
		}
	}
	return append(shown, others...), absent
}

// staleWhy is what most of the watches that are lost have in common, "" where
// no two do.
func staleWhy(d *data) string {
	count, why := map[string]int{}, ""
	for _, s := range d.sources(affinity.SourceStale) {
		if count[s.Detail]++; s.Detail != "" && count[s.Detail] > max(1, count[why]) {
			why = s.Detail
		}
	}
	return why
}

// drawAbsent names in at most three lines what is not installed, and returns
// how many they are.
func drawAbsent(a area, y int, absent []string) int {
	lines := absentLines(a, absent)
	for i, line := range lines {
		a.put(2, y+i, muted, line)
	}
	return len(lines)
}

func absentLines(a area, absent []string) []string {
	if len(absent) == 0 {
		return nil
	}
	lines := wrap("Not installed: "+strings.Join(absent, ", "), max(20, a.w-4))
	if len(lines) > 3 {
		lines = append(lines[:2], fmt.Sprintf("… %d in all", len(absent)))
	}
	return lines
}

// drawAccess is the screen about what may be read, and what is lost without.
func drawAccess(a area, d *data) {
	forbidden := d.sources(affinity.SourceForbidden)
	y := 1
	if a.h < 12 {
		y = 0
	}
	if len(forbidden) > 0 {
		a.put(2, y, strong, "LIMITED ACCESS")
		a.put(17, y, plain, "stickytop goes on with what it may read.")
	} else {
		a.put(2, y, strong, "ACCESS")
		text, st := "Nothing that was asked for is forbidden.", plain
		if why := staleWhy(d); why != "" {
			text, st = "What was read is stale: "+why, broken
			if unknown := d.snap.Unknown(); len(unknown) > 0 {
				text = unreadWhy(d, unknown)
			}
		}
		for i, line := range wrap(text, max(a.w-9-1, 10)) {
			y += min(i, 1)
			a.put(9, y, st, line)
		}
	}
	y++
	a.put(2, y, muted, whoAsks(d.opt)) // above what a short screen cuts off
	y++
	if a.h >= 12 {
		y++
	}
	a.put(2, y, strong, "CAN I LIST AND WATCH?")
	a.put(26, y, strong, "OBJECTS")
	a.put(35, y, strong, "WITHOUT IT")
	shown, absent := installed(d.snap.Sources)
	for _, s := range shown {
		y += drawAccessRow(a, y+1, s)
	}
	if len(d.snap.Sources) == 0 {
		a.put(2, y+1, plain, "no cluster is watched")
		y++
	}
	var role []string
	if len(forbidden) > 0 {
		for _, line := range roleToAskFor(d, forbidden) {
			for _, part := range wrap(line, a.w-4) {
				role = append(role, strings.Repeat(" ", len(line)-len(strings.TrimLeft(line, " ")))+part)
			}
		}
	}
	if y+4+len(role) <= a.h || len(role) == 0 { // the Role is worth more
		y += drawAbsent(a, y+1, absent)
	}
	y += 2
	if y+len(role) > a.h && len(role) > 0 {
		role = wrap(askForRole(d.opt, forbidden)+" (get, list, watch); "+d.opt.Title+" rbac --missing prints it", a.w-4)
	}
	for _, line := range role {
		a.put(2, y, plain, line)
		y++
	}
}

// whoAsks names the user of the kubeconfig, who they act as, and the context.
func whoAsks(o *Options) string {
	var parts []string
	if o.As != "" {
		parts = append(parts, "acting as "+subject(o))
	}
	if o.User != "" {
		parts = append(parts, "user "+o.User)
	}
	if o.Context != "" {
		parts = append(parts, "context "+o.Context)
	}
	return strings.Join(parts, "   ")
}

// maxGroups bounds the groups that are named, which are as many as were given.
const maxGroups = 8

// subject is whom a Role would be bound to: as the API server knows them, "" if
// only the kubeconfig's name for them is known.
func subject(o *Options) string {
	if o.As == "" {
		return ""
	}
	text := affinity.Clean(o.As, 100)
	var groups []string
	for _, g := range o.AsGroups[:min(len(o.AsGroups), maxGroups)] {
		groups = append(groups, affinity.Clean(g, 60))
	}
	if more := len(o.AsGroups) - len(groups); more > 0 {
		groups = append(groups, fmt.Sprintf("%d more", more))
	}
	switch len(groups) {
	case 0:
		return text
	case 1:
		return text + ", group " + groups[0]
	}
	return text + ", groups " + strings.Join(groups, ", ")
}

// drawAccessRow draws what may be done with one resource, and returns how many
// lines that took.
func drawAccessRow(a area, y int, s affinity.SourceStatus) int {
	a.clip(2, y, 20, plain, s.Name)
	mark, st := "✓", plain
	switch s.State {
	case affinity.SourceForbidden:
		mark, st = "✗ no", broken
	case affinity.SourceOff:
		mark, st = "· off", muted
	case affinity.SourceSyncing:
		mark = "◌"
	case affinity.SourceStale:
		mark, st = "◌ stale", warn
	}
	a.clip(16, y, 9, st, " "+mark)
	switch {
	case s.State == affinity.SourceStale && s.Unread:
		a.right(33, y, warn, "unknown")
	case s.State == affinity.SourceLive, s.State == affinity.SourceStale:
		a.right(33, y, plain, strconv.Itoa(s.Objects))
	}
	lost := "—"
	if s.State == affinity.SourceForbidden {
		if lost = blindness[s.Name]; lost == "" {
			lost = s.Detail
		}
	}
	lines := wrap(lost, max(a.w-35-1, 10))
	for i, line := range lines {
		a.put(35, y+i, plain, line)
	}
	return max(1, len(lines))
}

// ofCluster reports whether what s lists is in no namespace.
func ofCluster(s affinity.SourceStatus) bool {
	return s.Cluster || s.Name == "ingressclasses" || s.Name == "namespaces"
}

// askForRole says what would lift the limits: objects of no namespace, and those
// of all namespaces, take a ClusterRole.
func askForRole(o *Options, forbidden []affinity.SourceStatus) string {
	local, cluster := 0, 0
	for _, s := range forbidden {
		if o.Namespace == "" || ofCluster(s) {
			cluster++
		} else {
			local++
		}
	}
	text := "Ask an admin for a Role"
	switch {
	case local == 0:
		text = "Ask an admin for a ClusterRole"
	case cluster > 0:
		text += " and a ClusterRole"
	}
	if who := subject(o); who != "" {
		text += " for user " + who
	}
	return text
}

// roleToAskFor is the smallest Role that would lift the limits, and ClusterRole.
func roleToAskFor(d *data, forbidden []affinity.SourceStatus) []string {
	lines := []string{askForRole(d.opt, forbidden) + " (get, list, watch; nothing is ever written):"}
	var local, cluster []affinity.SourceStatus
	for _, s := range forbidden {
		if d.opt.Namespace == "" || ofCluster(s) {
			cluster = append(cluster, s)
		} else {
			local = append(local, s)
		}
	}
	lines = append(lines, byGroup(local, ", in namespace "+d.opt.Namespace)...)
	return append(lines, byGroup(cluster, ", cluster-wide")...)
}

// byGroup is a line for each API group of sources, and where.
func byGroup(all []affinity.SourceStatus, where string) []string {
	var groups, lines []string
	names := map[string][]string{}
	for _, s := range all {
		group := cmp.Or(affinity.Clean(s.Group, 100), groupsOf[s.Name], "its API group")
		if names[group] == nil {
			groups = append(groups, group)
		}
		names[group] = append(names[group], s.Name)
	}
	for _, group := range groups {
		lines = append(lines, "  "+strings.Join(names[group], ", ")+" in "+group+where)
	}
	return lines
}
