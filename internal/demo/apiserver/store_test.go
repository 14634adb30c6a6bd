package apiserver_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

func sorted(s []string) []string { slices.Sort(s); return s }

func TestStoreKeepsWhatItGaveOut(t *testing.T) {
	store := apiserver.NewStore()
	put(t, store, pod("a"))
	before, _ := apiserver.Get[*corev1.Pod](store, "msgapp", "a")
	rev := store.Revision()
	apiserver.Modify(store, "msgapp", "a", func(p *corev1.Pod) { p.Labels["app"] = "other" })
	after, _ := apiserver.Get[*corev1.Pod](store, "msgapp", "a")
	if before.Labels["app"] != "msgapp" || after.Labels["app"] != "other" {
		t.Errorf("labels %v then %v, want the first untouched", before.Labels, after.Labels)
	}
	if after.UID != before.UID || after.UID == "" || !after.CreationTimestamp.Equal(&before.CreationTimestamp) {
		t.Error("a change gave the object another identity")
	}
	if after.ResourceVersion == before.ResourceVersion || store.Revision() != rev+1 {
		t.Errorf("revision %s after %s, store at %d after %d", after.ResourceVersion, before.ResourceVersion, store.Revision(), rev)
	}
}

func TestStoreIgnoresChangesOfNothing(t *testing.T) {
	store := apiserver.NewStore()
	put(t, store, pod("a"))
	rev, changed := store.Revision(), store.Changed()
	if !apiserver.Modify(store, "msgapp", "a", func(p *corev1.Pod) { p.Status.PodIP = "10.244.0.7" }) {
		t.Error("Modify says that a is not there")
	}
	select {
	case <-changed:
		t.Error("a change of nothing wakes the watches")
	default:
	}
	if store.Revision() != rev {
		t.Errorf("revision %d, want %d", store.Revision(), rev)
	}
	if apiserver.Modify(store, "msgapp", "b", func(*corev1.Pod) {}) || apiserver.Remove[*corev1.Pod](store, "msgapp", "b") {
		t.Error("b is not there, and was changed or removed")
	}
}

func TestStoreRefusesNonsense(t *testing.T) {
	store := apiserver.NewStore()
	nowhere := pod("a")
	nowhere.Namespace = ""
	for _, o := range []apiserver.Object{nowhere, &corev1.Secret{}, pod("")} {
		if store.Put(o) == nil {
			t.Errorf("Put(%T %s/%s) succeeds", o, o.GetNamespace(), o.GetName())
		}
	}
}
