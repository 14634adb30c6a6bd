package findings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestSettled judges one chart by each controller that its class may be of, and
// by the likelier one while nothing has told them apart.
func TestSettled(t *testing.T) {
	routes := func(chosen int, proof string) map[affinity.RouteID]findings.Settlement {
		return findings.SettledBy([]affinity.Route{{ID: affinity.RouteKey(affinity.RouteIngress, "shop", "web", "shop.example.com", "/"),
			Layers: []affinity.Layer{{Where: affinity.LayerIngress, Chosen: chosen, Proof: proof,
				Candidates: []affinity.Policy{{Controller: "ingress-nginx", Mode: "balanced"}, {Controller: "traefik-ingress-nginx"}}}}}})
	}
	for _, tt := range []struct {
		name    string
		settled map[affinity.RouteID]findings.Settlement
		want    []string // of the Ingress web, its Deployment and its class
	}{
		{"presumed", nil, []string{"C01 likely", "C03 exact", "C07 likely", "I06 likely", "L01 likely"}},
		{"not proved", routes(1, ""), []string{"C01 likely", "C03 exact", "C07 likely", "I06 likely", "L01 likely"}},
		{"ingress-nginx", routes(0, "its cookie decodes as ingress-nginx balanced"), []string{"C01 exact", "C03 exact", "C07 likely", "I06 likely", "L01 exact"}},
		{"Traefik", routes(1, "its cookie decodes as traefik"), []string{"C03 exact", "L01 exact"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := read(t, "testdata/settled.yaml")
			f.Settled = tt.settled
			var got []string
			for _, x := range findings.Check(f, findings.Options{}).Findings {
				if !x.Fails() && x.Severity != affinity.SeverityInfo || x.Certainty == affinity.CertaintyNotChecked {
					continue
				}
				got = append(got, x.Rule+" "+x.Certainty.String())
				presumes := slices.ContainsFunc(x.Evidence, func(e affinity.FindingEvidence) bool {
					return e.Field == "controller presumed" && e.Value == "ingress-nginx" && strings.Contains(e.Text, "Traefik")
				})
				if must := tt.settled == nil && x.Rule != "C03"; presumes != must {
					t.Errorf("%s %s: names its presumption: %v", x.Rule, x.Title, presumes)
				} else if must && !strings.HasPrefix(x.Impact, "if ingress-nginx serves it, which is presumed: ") {
					t.Errorf("%s: impact %q", x.Rule, x.Impact)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestSettledRetired wants the class of a retired controller told of, unless
// cookies have proved that another serves it.
func TestSettledRetired(t *testing.T) {
	f := read(t, "testdata/settled.yaml")
	class := read(t, "testdata/class.yaml")
	f.Objects = append(f.Objects, class.Objects...)
	retired := func() (said []string) {
		for _, x := range findings.Check(f, findings.Options{Only: []string{"L01"}}).Findings {
			if strings.Contains(x.Title, "retired") {
				said = append(said, x.Certainty.String()+" "+x.Object.Kind)
			}
		}
		return said
	}
	if got := retired(); !slices.Equal(got, []string{"likely IngressClass"}) {
		t.Errorf("presumed: %q", got)
	}
	id := affinity.RouteKey(affinity.RouteIngress, "shop", "web", "shop.example.com", "/")
	f.Settled = map[affinity.RouteID]findings.Settlement{id: {Controller: "ingress-nginx", Mode: "balanced", Proof: "its cookie decodes as ingress-nginx balanced"}}
	if got := retired(); !slices.Equal(got, []string{"exact IngressClass"}) {
		t.Errorf("ingress-nginx proved: %q", got)
	}
	f.Settled = map[affinity.RouteID]findings.Settlement{id: {Controller: "traefik-ingress-nginx", Proof: "its cookie decodes as traefik"}}
	if got := retired(); len(got) > 0 {
		t.Errorf("Traefik proved: %q", got)
	}
}

// TestRunning wants Traefik presumed where it runs, and ingress-nginx does not.
func TestRunning(t *testing.T) {
	f := read(t, "testdata/settled.yaml")
	f.Objects = append(f.Objects, read(t, "testdata/traefik.yaml").Objects...)
	var said []string
	for _, x := range findings.Check(f, findings.Options{Skip: []string{"C03"}}).Findings {
		if x.Fails() || x.Severity == affinity.SeverityInfo {
			said = append(said, x.Rule+" "+x.Certainty.String()+" "+x.Title)
		}
	}
	if want := []string{"L01 exact Traefik's provider does not read session-cookie-change-on-failure"}; !slices.Equal(said, want) {
		t.Errorf("got %q, want %q", said, want)
	}
}

// TestSole wants nothing presumed where the class and one of the controllers
// that answer to it are among the objects, and none that may be the other.
func TestSole(t *testing.T) {
	controller := func(name, image string, args ...any) *findings.Object {
		v := findings.From(map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": name, "namespace": "edge"},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "main", "image": image, "args": args}}}}}})
		o, ok := findings.NewObject(&v, "f.yaml")
		if !ok {
			t.Fatal("no object")
		}
		return o
	}
	nginx := controller("nginx", "registry.k8s.io/ingress-nginx/controller:v1.12.0", "/nginx-ingress-controller")
	traefik := controller("traefik", "traefik:v3.7", "--providers.kubernetesingressnginx")
	for _, tt := range []struct {
		name    string
		class   bool
		add     []*findings.Object
		unread  string
		want    string // of C01 and D01's kin: the certainty of what holds for ingress-nginx alone
		because string
	}{
		{"class and ingress-nginx", true, []*findings.Object{nginx}, "", "exact", ""},
		{"ingress-nginx, and the class elsewhere", false, []*findings.Object{nginx}, "", "likely", "Traefik"},
		{"both", true, []*findings.Object{nginx, traefik}, "", "likely", "Traefik"},
		{"a Traefik that may have the provider in its file", true, []*findings.Object{nginx, controller("traefik", "traefik:v3.7")}, "", "likely", "Traefik"},
		{"ingress-nginx of another class", true, []*findings.Object{controller("nginx", "registry.k8s.io/ingress-nginx/controller:v1.12.0", "--controller-class=k8s.io/inner")}, "", "likely", "Traefik"},
		{"Traefik alone", true, []*findings.Object{traefik}, "", "", ""},
		{"not all could be read", true, []*findings.Object{nginx}, "list deployments in all namespaces is forbidden", "likely", "list deployments in all namespaces is forbidden"},
		{"nothing that runs", true, nil, "list deployments in all namespaces is forbidden", "likely", "which of them runs is not known: list deployments in all namespaces is forbidden"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := read(t, "testdata/settled.yaml")
			if tt.class {
				f.Objects = append(f.Objects, read(t, "testdata/class.yaml").Objects...)
			}
			f.Objects, f.ControllersUnread = append(f.Objects, tt.add...), tt.unread
			got, because := "", ""
			for _, x := range findings.Check(f, findings.Options{Only: []string{"C01"}}).Findings {
				got = x.Certainty.String()
				for _, e := range x.Evidence {
					if e.Field == "controller presumed" {
						because = e.Text
					}
				}
			}
			if got != tt.want || tt.because == "" && because != "" || !strings.Contains(because, tt.because) {
				t.Errorf("C01 %q because %q, want %q because %q", got, because, tt.want, tt.because)
			}
		})
	}
}
