package apiserver

import "testing"

func TestParsePath(t *testing.T) {
	tests := []struct {
		path string
		want string // resource namespace name; "" for none
	}{
		{"/api/v1/pods", "pods  "},
		{"/api/v1/namespaces/msgapp/pods", "pods msgapp "},
		{"/api/v1/namespaces/msgapp/pods/a", "pods msgapp a"},
		{"/api/v1/namespaces", "namespaces  "},
		{"/api/v1/namespaces/msgapp", "namespaces  msgapp"},
		{"/apis/discovery.k8s.io/v1/namespaces/msgapp/endpointslices", "endpointslices msgapp "},
		{"/apis/networking.k8s.io/v1/ingressclasses/nginx", "ingressclasses  nginx"},
		{"/apis/networking.k8s.io/v1/namespaces/msgapp/ingressclasses", ""},
		{"/api/v1/namespaces/msgapp/pods/a/log", ""},
		{"/apis/traefik.io/v1alpha1/ingressroutes", ""},
		{"/api/v2/pods", ""},
		{"/apis/v1/pods", ""},
		{"/", ""},
	}
	for _, tt := range tests {
		got := ""
		if q, ok := parsePath(tt.path); ok {
			got = q.res.name + " " + q.namespace + " " + q.name
		}
		if got != tt.want {
			t.Errorf("parsePath(%q) = %q, want %q", tt.path, got, tt.want)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("/api/v1/namespaces/msgapp/pods/a")
	f.Add("//apis///namespaces")
	f.Fuzz(func(t *testing.T, path string) {
		if q, ok := parsePath(path); ok && q.res == nil {
			t.Errorf("parsePath(%q) finds no resource", path)
		}
	})
}

func FuzzNegotiate(f *testing.F) {
	f.Add("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
	f.Add("application/vnd.kubernetes.protobuf,*/*;q=0.1")
	f.Fuzz(func(t *testing.T, accept string) {
		if info, ok := negotiate(accept); ok && info.Serializer == nil {
			t.Errorf("negotiate(%q) finds no serializer", accept)
		}
	})
}
