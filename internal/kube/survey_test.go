package kube

import (
	"net/http"
	"strings"
	"testing"

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
