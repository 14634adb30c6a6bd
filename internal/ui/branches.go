package ui

import (
	"fmt"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// branchNames are what the Services are that share a route's requests with its
// own one, seen from there.
func branchNames(all []affinity.Branch) string {
	switch b := all[0]; {
	case b.Canary:
		return "canary"
	case b.Fallback:
		return "fallback"
	case b.Share == "":
		return "primary"
	}
	return "shared with"
}

// maxBranchLines bounds what is listed of them.
const maxBranchLines = 3

// branchRows is how many rows the Services that share r's requests take in the
// box of its own Service, a rule above them: two each where there is room, else
// one; 0 where there is too little.
func branchRows(r affinity.Route, room int) int {
	n := len(r.Branches())
	switch rows := min(1+n, 1+maxBranchLines, room); {
	case n == 0, room < 2:
		return 0
	case n <= 2 && 1+2*n <= room:
		return 1 + 2*n
	case n > 1 && rows < 3:
		return 0
	default:
		return rows
	}
}

// drawBranches draws them below what is of r's own Service.
func drawBranches(a area, d *data, r affinity.Route) {
	all := r.Branches()
	a.fill(0, 0, a.w, plain, "╌")
	a.clip(1, 0, a.w-2, strong, " "+branchNames(all)+" ")
	if a.h > 2*len(all) {
		for i, b := range all {
			drawBranch(a.sub(0, 1+2*i, a.w, 1), d, b)
			share := b.Share
			if share == "" {
				share = "all the others"
			}
			a.clip(0, 2+2*i, a.w, plain, share)
		}
		return
	}
	shown := a.h - 1
	for y, b := range all[:min(shown, len(all))] {
		if y == shown-1 && shown < len(all) {
			a.clip(0, 1+y, a.w, muted, fmt.Sprintf("and %d more", len(all)-y))
			return
		}
		drawBranch(a.sub(0, 1+y, a.w, 1), d, b)
	}
}

// drawBranch draws one line: the Service, and how many of its endpoints are
// ready.
func drawBranch(a area, d *data, b affinity.Branch) {
	ready, all := 0, 0
	for _, e := range d.snap.BackendEndpoints(b.Backend) {
		all++
		if e.Ready {
			ready++
		}
	}
	text, st := fmt.Sprintf("%d/%d", ready, all), plain
	switch {
	case d.unread("endpointslices"), d.isStale():
		text, st = "?", warn
	case ready == 0:
		st = broken
	}
	name := b.Backend.Service.Name
	if b.Backend.Port != "" {
		name += ":" + b.Backend.Port
	}
	a.clip(0, 0, a.w-cells(text)-1, strong, name)
	a.right(a.w, 0, st, text)
}
