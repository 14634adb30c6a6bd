package kube

import (
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/findings"
)

const traefikDeployment = `{"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"namespace":"edge","name":"traefik"},
"spec":{"template":{"spec":{"containers":[{"name":"traefik","image":"traefik:v3.6","args":["--providers.kubernetesingressnginx"]}]}}}}]}`

// TestSurveyControllers wants the controllers known that run in other namespaces
// than the one that is judged, and why not where that is forbidden.
func TestSurveyControllers(t *testing.T) {
	const none, forbidden = `{"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":"1"},"items":[]}`,
		`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"no","code":403}`
	for _, tt := range []struct {
		name   string
		all    string // what the list of all namespaces answers
		in     string // the namespace where Traefik is, when that is forbidden
		key    string
		unread string
	}{
		{"of all namespaces", traefikDeployment, "", "traefik-ingress-nginx", ""},
		{"none", none, "", "", ""},
		{"forbidden", forbidden, "", "", "list deployments in all namespaces is forbidden"},
		{"forbidden, but not where it usually runs", forbidden, "traefik", "traefik-ingress-nginx", "list deployments in all namespaces is forbidden"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newAPIServer(t)
			chat(s)
			s.fail("deployments list", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				body := none
				switch chosen := strings.Contains(r.URL.Query().Get("labelSelector"), "traefik"); {
				case chosen && r.URL.Path == "/apis/apps/v1/deployments":
					body = tt.all
				case chosen && tt.in != "" && strings.Contains(r.URL.Path, "/namespaces/"+tt.in+"/"):
					body = traefikDeployment
				case chosen:
					body = forbidden
				}
				if body == forbidden {
					w.WriteHeader(http.StatusForbidden)
				}
				_, _ = w.Write([]byte(body))
			})
			f, err := Survey(t.Context(), s.config(), chatOptions())
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Running().Key; got != tt.key || f.ControllersUnread != tt.unread {
				t.Errorf("runs %q, unread %q; want %q, %q", got, f.ControllersUnread, tt.key, tt.unread)
			}
			if f.Namespace == "" || tt.key != "" && findings.Check(f, findings.Options{}).Findings == nil {
				t.Errorf("namespace %q", f.Namespace)
			}
		})
	}
}

// TestSurveyFronts wants the load balancer of a controller in another namespace
// known where its Services may be listed, and nothing said of that Service itself.
func TestSurveyFronts(t *testing.T) {
	for _, tt := range []struct {
		name      string
		forbidden bool // to list those of all namespaces
		in        string
		want      bool
	}{
		{"of all namespaces", false, "edge", true},
		{"where it usually is", true, "ingress-nginx", true},
		{"forbidden", true, "edge", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newAPIServer(t)
			chat(s)
			front := testService(tt.in, "ingress-nginx-controller")
			front.Labels = map[string]string{"app.kubernetes.io/name": "ingress-nginx"}
			front.Annotations = map[string]string{"service.beta.kubernetes.io/aws-load-balancer-ssl-cert": "arn:aws:acm:eu-central-1:1:certificate/x"}
			front.Spec.Type, front.Spec.Selector = corev1.ServiceTypeLoadBalancer, front.Labels
			front.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
			s.put(front)
			if tt.forbidden {
				s.fail("services list", func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/api/v1/services" {
						refuse(403, metav1.StatusReasonForbidden, "no")(w, r)
						return
					}
					c, _ := parse(r.URL.Path)
					s.serveList(w, r, c)
				})
			}
			f, err := Survey(t.Context(), s.config(), chatOptions())
			if err != nil {
				t.Fatal(err)
			}
			told := false
			for _, x := range findings.Check(f, findings.Options{}).Findings {
				if x.Object.Namespace == tt.in {
					t.Errorf("%s is told of %s, which is not asked for", x.Rule, x.Object)
				}
				told = told || x.Rule == "B03" && strings.HasPrefix(x.Title, "TLS ends at the load balancer")
			}
			if told != tt.want {
				t.Errorf("told that TLS ends at the load balancer: %v, want %v", told, tt.want)
			}
		})
	}
}
