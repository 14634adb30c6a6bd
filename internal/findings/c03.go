package findings

import (
	"fmt"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var c03 = Rule{
	ID: "C03", Title: "Pods end before their sessions do", Severity: affinity.SeverityHigh,
	What:    "A pod that is asked to end leaves the endpoints at once, and is killed after terminationGracePeriodSeconds, 30 by default. Without a preStop hook that waits, requests on their way and open connections are cut.",
	Impact:  "every rollout, scale-down and node drain cuts the sessions of the pods it ends",
	Fix:     "wait in preStop until clients have left, and give the pod the time for it: five minutes, or the life of a shorter cookie. preStop.sleep takes Kubernetes 1.30; before, an exec of sleep",
	Verify:  "delete one pod while stickytop runs on its ingress: no FAILING",
	Sources: []string{"Kubernetes documentation, Pod Lifecycle, Termination of Pods", "nginx/kubernetes-ingress#267", "kubernetes/ingress-nginx#13484", "emissary-ingress/emissary#1473", "kubernetes/kubernetes#140018"},
	Needs:   []string{"Deployment", "StatefulSet", "DaemonSet"},
	check: func(c *check) {
		needs := map[*Object]time.Duration{} // of the longest cookie that leads to it
		for _, r := range c.stickyRoutes("") {
			for _, x := range r.loads {
				needs[x.Object] = max(needs[x.Object], graceFor(r.policy.Cookie.MaxAge))
			}
		}
		for _, r := range c.stickyRoutes("") {
			for _, x := range r.loads {
				grace, stop, need := x.grace(), x.hasPreStop(), needs[x.Object]
				if enoughGrace(x, need) {
					continue
				}
				n := c.replicas(x)
				more, fewer := x.surge(n)
				h := hit{title: fmt.Sprintf("pods behind a sticky route have %s to end", span(grace)), route: r.ID,
					evidence: []affinity.FindingEvidence{x.noted("30 s when absent", "spec", "template", "spec", "terminationGracePeriodSeconds"), x.noted(ifElse(stop, "set", "no container has one"), "spec", "template", "spec", "containers", "0", "lifecycle", "preStop"),
						x.noted(fmt.Sprintf("a rollout starts %d more and ends %d of %d at a time", more, fewer, n), "spec", "strategy")},
					patch: gracePatch(x, need)}
				if stop || grace > 30*time.Second || c.most(x) <= 1 { // one pod: there is nothing that affinity chooses between
					h.severity = affinity.SeverityMedium
				}
				if age := r.policy.Cookie.MaxAge; age > 0 {
					h.impact = fmt.Sprintf("a session may live %s by its cookie, and has %s when its pod ends", span(age), span(grace))
				}
				c.hit(x.Object, h)
			}
		}
	},
}

// maxGrace is what is asked of pods whose sessions last longer, or as long as
// the browser: most clients have come to their next request by then.
const maxGrace = 5 * time.Minute

// graceFor is how long a pod should have to end, whose cookies last for age; 0
// is an age that is not known.
func graceFor(age time.Duration) time.Duration {
	if age <= 0 || age > maxGrace {
		return maxGrace
	}
	return age
}

// enoughGrace reports whether pods of x have the time to end, or wait in preStop
// and have some of it.
func enoughGrace(x *workload, need time.Duration) bool {
	return x.grace() >= need || x.hasPreStop() && x.grace() >= min(need, time.Minute)
}

// gracePatch gives pods of x the time, and lets them wait for four fifths of it;
// a preStop that is there stays.
func gracePatch(x *workload, need time.Duration) []edit {
	seconds := int((need + time.Second - 1) / time.Second)
	spec := map[string]any{"terminationGracePeriodSeconds": seconds}
	if all := x.containers(); len(all) > 0 && !x.hasPreStop() {
		spec["containers"] = []any{map[string]any{"name": all[0].Str("name"), "lifecycle": nest(seconds*4/5, "preStop", "sleep", "seconds")}}
	}
	return patched(x.Object, nest(spec, "spec", "template", "spec"))
}

func ifElse(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}
