package ingress

import (
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// azureAGIC is Azure's Application Gateway Ingress Controller.
// [Azure/application-gateway-kubernetes-ingress pkg/appgw/backendhttpsettings.go]
type azureAGIC struct{}

const (
	azureKey    = "azure-agic"
	azurePrefix = "appgw.ingress.kubernetes.io/"
)

func (azureAGIC) Key() string { return azureKey }
func (azureAGIC) Claims(controller string) bool {
	return strings.HasPrefix(controller, "azure/application-gateway")
}
func (azureAGIC) KnownAs(class string) bool {
	return class == "azure-application-gateway" || class == "azure/application-gateway"
}
func (azureAGIC) Owns(annotation string) bool { return strings.HasPrefix(annotation, azurePrefix) }

// Read: a session cookie; with a distinct name it is made of a name that Azure
// gives to the backend, which is not in the objects.
func (azureAGIC) Read(_ *World, places []*Place) []Reading {
	readings := make([]Reading, len(places))
	for i, p := range places {
		r := &readings[i]
		r.Policy = affinity.Policy{Controller: azureKey, Why: "no annotation " + azurePrefix + "cookie-based-affinity: true"}
		if on, _ := p.Annotation(azurePrefix + "cookie-based-affinity"); !isTrue(on) {
			continue
		}
		r.Policy = affinity.Policy{Mechanism: affinity.MechanismCookie, Controller: azureKey, Renewal: affinity.RenewalSession,
			Cookie: affinity.CookieSpec{Name: "ApplicationGatewayAffinity", Path: "/", FlagsUnknown: true}, Why: "annotation " + azurePrefix + "cookie-based-affinity",
			Notes: []string{"what the cookie holds is not documented: which pod it means is in the gateway's access log only"}}
		if on, _ := p.Annotation(azurePrefix + "cookie-based-affinity-distinct-name"); isTrue(on) {
			r.Policy.Cookie.Name = ""
			r.Policy.Notes = append(r.Policy.Notes, "with cookie-based-affinity-distinct-name it is called appgw-affinity-, followed by a digest")
		}
	}
	return readings
}
