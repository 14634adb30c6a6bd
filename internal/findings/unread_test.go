package findings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestUnreadWorkloads wants rules about the pods behind a sticky route told of
// as not checked where those may not be read.
func TestUnreadWorkloads(t *testing.T) {
	const forbidden = "list deployments in namespace shop is forbidden"
	want := []string{"C02", "C03", "C07", "F08", "I02"}
	for _, file := range []string{"testdata/settled.yaml", "testdata/msgapp.yaml", "testdata/sane/plain-web.yaml"} {
		f := read(t, file)
		f.Objects = slices.DeleteFunc(f.Objects, func(o *findings.Object) bool { return o.Kind == "Deployment" })
		f.Cluster, f.Unread = true, map[string]string{"Deployment": forbidden}
		var got []string
		for _, x := range findings.Check(f, findings.Options{}).Findings {
			if x.Certainty == affinity.CertaintyNotChecked && x.NotChecked == forbidden {
				got = append(got, x.Rule)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: not checked: %q, want %q", file, got, want)
		}
	}
}

// TestBesides wants a fix to name what it brings beside what is wrong.
func TestBesides(t *testing.T) {
	for _, f := range findings.Check(read(t, "testdata/fixes/f5.yaml"), findings.Options{Only: []string{"A05"}}).Findings {
		if strings.Contains(f.Patch, "terminationGracePeriodSeconds") != strings.Contains(f.Fix, "The patch also has what makes it last: pods that have time to end (C03)") {
			t.Errorf("fix %q of\n%s", f.Fix, f.Patch)
		}
	}
	told := 0
	for _, f := range findings.Check(read(t, "testdata/fixes/foreign.yaml"), findings.Options{Only: []string{"A01"}}).Findings {
		for field, words := range map[string]string{"terminationGracePeriodSeconds": "(C03)", "kind: PodDisruptionBudget": "(C02)", "worker-shutdown-timeout": "(I06)"} {
			if has := strings.Contains(f.Patch, field); has != strings.Contains(f.Fix, words) {
				t.Errorf("%s: fix %q of\n%s", f.Title, f.Fix, f.Patch)
			} else if has {
				told++
			}
		}
	}
	if told == 0 {
		t.Error("no patch brings anything")
	}
}
