package apiserver

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

func serveOK(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }

func serveVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, version.Info{Major: "1", Minor: "37", GitVersion: "v1.37.2-stickytop-demo", Platform: "demo"})
}

func serveAPIVersions(w http.ResponseWriter, r *http.Request) {
	writeObject(w, r, http.StatusOK, schema.GroupVersion{Version: "v1"}, &metav1.APIVersions{
		TypeMeta: metav1.TypeMeta{Kind: "APIVersions"},
		Versions: []string{"v1"},
	})
}

// groups returns the named groups, in table order.
func groups() []metav1.APIGroup {
	var all []metav1.APIGroup
	seen := map[string]bool{"": true}
	for _, res := range resources {
		if seen[res.gv.Group] {
			continue
		}
		seen[res.gv.Group] = true
		v := metav1.GroupVersionForDiscovery{GroupVersion: res.gv.String(), Version: res.gv.Version}
		all = append(all, metav1.APIGroup{
			TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"},
			Name:     res.gv.Group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v,
		})
	}
	return all
}

func serveGroups(w http.ResponseWriter, r *http.Request) {
	writeObject(w, r, http.StatusOK, schema.GroupVersion{Version: "v1"}, &metav1.APIGroupList{Groups: groups()})
}

func serveGroup(w http.ResponseWriter, r *http.Request) {
	for _, g := range groups() {
		if g.Name == r.PathValue("group") {
			writeObject(w, r, http.StatusOK, schema.GroupVersion{Version: "v1"}, &g)
			return
		}
	}
	http.NotFound(w, r)
}

func serveResources(w http.ResponseWriter, r *http.Request) {
	gv := schema.GroupVersion{Group: r.PathValue("group"), Version: r.PathValue("version")}
	list := &metav1.APIResourceList{GroupVersion: gv.String()}
	for _, res := range resources {
		if res.gv != gv {
			continue
		}
		list.APIResources = append(list.APIResources, metav1.APIResource{
			Name: res.name, SingularName: res.singular, Namespaced: res.namespaced, Kind: res.kind,
			Verbs: res.verbs(), ShortNames: res.short,
		})
	}
	if len(list.APIResources) == 0 {
		http.NotFound(w, r) // as the real one answers for a group it does not have
		return
	}
	writeObject(w, r, http.StatusOK, schema.GroupVersion{Version: "v1"}, list)
}
