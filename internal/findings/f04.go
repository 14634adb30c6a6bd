package findings

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var f04 = Rule{
	ID: "F04", Title: "The ClientIP timeout is not what the YAML says", Severity: affinity.SeverityMedium,
	What:    "timeoutSeconds must be 1 to 86400. In IPVS mode a connection in TIME_WAIT (120 s) keeps the entry alive, so that less than about two minutes is never seen. Without sessionAffinity: ClientIP the API server drops the timeout without a word.",
	Impact:  "clients stay longer than configured, or the object is refused",
	Fix:     "set 120 or more, at most 86400",
	Verify:  "kubectl get {obj} -o jsonpath='{.spec.sessionAffinityConfig.clientIP.timeoutSeconds}'",
	Sources: []string{"kubernetes/kubernetes#89358", "kubernetes/kubernetes#35677", "kubernetes pkg/apis/core/validation/validation.go", "kubernetes pkg/apis/core/v1/defaults.go"},
	check: func(c *check) {
		at := []string{"spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"}
		for _, s := range c.services() {
			if !clientIP(s) {
				c.wiped(s, at)
				continue
			}
			if !s.Has(at...) {
				continue
			}
			n, ok := s.Int(at...)
			switch {
			case !ok || n < 1 || n > 86400:
				c.hit(s, hit{title: "timeoutSeconds is out of range: the API server refuses the Service", severity: affinity.SeverityHigh, evidence: []affinity.FindingEvidence{s.field(at...)},
					fix: "set 1 to 86400", patch: patched(s, nest(ranged(n), at...))})
			case n < 120 && slices.Contains(c.proxies, affinity.ModeIPVS):
				c.hit(s, hit{title: fmt.Sprintf("%d s are two minutes or more in IPVS mode", n), evidence: []affinity.FindingEvidence{s.field(at...), c.proxyFrom}, patch: patched(s, nest(120, at...))})
			case n < 120 && len(c.proxies) == 0:
				c.notChecked(s, "whether kube-proxy runs in IPVS mode, where timeouts below 120 s are longer, is not among the objects")
			}
		}
	},
}

// ranged is the nearest timeout that the API server takes; its default for what
// is no time.
func ranged(n int) int {
	switch {
	case n < 1:
		return 10800
	case n > 86400:
		return 86400
	}
	return n
}

// LastApplied is where kubectl apply keeps the object as it was given.
const LastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// wiped finds a timeout that was given without sessionAffinity: ClientIP: the
// API server takes the object and leaves the timeout out.
func (c *check) wiped(s *Object, at []string) {
	h := hit{title: "timeoutSeconds without sessionAffinity: ClientIP is dropped without a word: there is no affinity", severity: affinity.SeverityHigh,
		impact: "clients are not pinned at all", fix: "set sessionAffinity: ClientIP beside it",
		patch: patched(s, nest("ClientIP", "spec", "sessionAffinity"))}
	switch text := s.annotation(LastApplied); {
	case s.Has(at...):
		h.evidence = []affinity.FindingEvidence{s.field(at...), s.noted("None when absent", "spec", "sessionAffinity")}
	case AppliedTimeout(text) > 0:
		h.patch = patched(s, map[string]any{"spec": map[string]any{"sessionAffinity": "ClientIP", "sessionAffinityConfig": nest(AppliedTimeout(text), "clientIP", "timeoutSeconds")}})
		h.evidence = []affinity.FindingEvidence{s.noted(fmt.Sprintf("timeoutSeconds %d was applied", AppliedTimeout(text)), annotationPath(LastApplied)...), s.field("spec", "sessionAffinity")}
	default:
		return
	}
	c.hit(s, h)
}

// AppliedTimeout is the ClientIP timeout of a Service as kubectl was given it,
// without sessionAffinity: ClientIP beside it; 0 when there is none.
func AppliedTimeout(text string) int {
	if len(text) > 256<<10 {
		return 0
	}
	var applied struct {
		Spec struct {
			SessionAffinity       string
			SessionAffinityConfig struct {
				ClientIP struct{ TimeoutSeconds int }
			}
		}
	}
	if json.Unmarshal([]byte(text), &applied) != nil {
		return 0
	}
	if applied.Spec.SessionAffinity == "ClientIP" { // taken away since, by hand
		return 0
	}
	return applied.Spec.SessionAffinityConfig.ClientIP.TimeoutSeconds
}
