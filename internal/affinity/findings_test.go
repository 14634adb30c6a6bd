package affinity

import (
	"testing"
	"time"
)

// TestFindingsBounded wants it told that findings were left out.
func TestFindingsBounded(t *testing.T) {
	var st State
	many := make([]Finding, maxFindings+2)
	for i := range many {
		many[i] = Finding{Rule: "L01", Severity: SeverityInfo, Certainty: CertaintyExact}
	}
	st.Apply(Findings{Source: "rules", Findings: many}, time.Unix(1000, 0))
	all := st.Snapshot(time.Unix(1000, 0)).Findings
	if last := all[len(all)-1]; len(all) != maxFindings+1 || last.Rule != NoRule || last.NotChecked != "2 more findings than are kept, the least of them" {
		t.Errorf("%d findings, the last %+v", len(all), last)
	}
}

func TestFindingsReplace(t *testing.T) {
	var st State
	t0 := time.Unix(1000, 0)
	chat := ObjectRef{Kind: "Ingress", Namespace: "lab", Name: "chat"}
	st.Apply(Findings{Source: "rules", Findings: []Finding{
		{Rule: "L01", Severity: SeverityInfo, Certainty: CertaintyExact, Object: chat},
		{Rule: "F02", Severity: SeverityHigh, Object: chat, NotChecked: "nodes can't be listed"},
		{Rule: "A04", Severity: SeverityHigh, Certainty: CertaintyExact, Object: chat},
	}}, t0)
	st.Apply(Findings{Source: "pins", Findings: []Finding{
		{Rule: "I01", Severity: SeverityCritical, Certainty: CertaintyExact, Session: "s01", At: t0},
	}}, t0)
	first := st.Snapshot(t0)
	if got, want := rulesOf(first.Findings), "I01 A04 L01 F02 "; got != want {
		t.Errorf("findings %q, want %q: worst first, not checked last", got, want)
	}

	st.Apply(Findings{Source: "pins", Findings: []Finding{
		{Rule: "I01", Severity: SeverityCritical, Certainty: CertaintyExact, Session: "s01", At: t0.Add(time.Minute)},
	}}, t0)
	st.Apply(Findings{Source: "rules"}, t0)
	second := st.Snapshot(t0)
	if got, want := rulesOf(second.Findings), "I01 "; got != want {
		t.Errorf("after replacing: %q, want %q", got, want)
	}
	if at := second.Findings[0].At; !at.Equal(t0) {
		t.Errorf("first seen at %v, want %v: a finding that stays keeps its time", at, t0)
	}
	if got, want := rulesOf(first.Findings), "I01 A04 L01 F02 "; got != want {
		t.Errorf("the first snapshot became %q", got)
	}
	if third := st.Snapshot(t0); &third.Findings[0] != &second.Findings[0] {
		t.Error("unchanged findings are not shared between snapshots")
	}
}

func rulesOf(all []Finding) string {
	out := ""
	for _, f := range all {
		out += f.Rule + " "
	}
	return out
}
