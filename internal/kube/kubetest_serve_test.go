package kube

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/kubestickytop/stickytop/internal/ingress"
)

func (s *apiServer) dispatch(w http.ResponseWriter, r *http.Request, verb string, c call) {
	switch verb {
	case "list":
		s.serveList(w, r, c)
	case "watch":
		s.serveWatch(w, r, c)
	case "get":
		s.mu.Lock()
		obj := s.objects[c.resource][key{c.namespace, c.name}]
		s.mu.Unlock()
		if obj == nil {
			refuse(404, metav1.StatusReasonNotFound, c.resource+" "+c.name+" not found")(w, r)
			return
		}
		s.write(w, r, obj)
	case "create":
		s.serveCreate(w, r, c)
	case "discover":
		s.serveDiscovery(w, r, c)
	case "forward":
		s.forward(w, r)
	default:
		refuse(404, metav1.StatusReasonNotFound, "no such path")(w, r)
	}
}

func (s *apiServer) serveDiscovery(w http.ResponseWriter, r *http.Request, c call) {
	var there []metav1.APIResource
	if c.group == "traefik.io" && s.traefik {
		there = []metav1.APIResource{{Name: resIngressRoutes}, {Name: resTraefikServices}}
	}
	for _, k := range ingress.CustomKinds {
		if s.custom && k.Group() == c.group && k.Version == c.version {
			there = append(there, metav1.APIResource{Name: k.Resource()})
		}
	}
	if len(there) == 0 {
		refuse(404, metav1.StatusReasonNotFound, "the server could not find the requested resource")(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(metav1.APIResourceList{APIResources: there})
}

func (s *apiServer) serveCreate(w http.ResponseWriter, r *http.Request, c call) {
	body, _ := io.ReadAll(r.Body)
	if c.resource == "selfsubjectreviews" {
		w.Header().Set("Content-Type", contentJSON)
		_ = json.NewEncoder(w).Encode(authenticationv1.SelfSubjectReview{TypeMeta: metav1.TypeMeta{Kind: "SelfSubjectReview", APIVersion: "authentication.k8s.io/v1"}, Status: authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{Username: "alice"}}})
		return
	}
	var review authorizationv1.SelfSubjectAccessReview
	if err := json.Unmarshal(body, &review); err != nil {
		refuse(400, metav1.StatusReasonBadRequest, err.Error())(w, r)
		return
	}
	review.Status.Allowed = s.denied == nil || !s.denied(*review.Spec.ResourceAttributes)
	w.Header().Set("Content-Type", contentJSON)
	_ = json.NewEncoder(w).Encode(review)
}

func (s *apiServer) serveList(w http.ResponseWriter, r *http.Request, c call) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	from, _ := strconv.Atoi(q.Get("continue"))
	selector, _ := labels.Parse(q.Get("labelSelector"))
	s.mu.Lock()
	rv := s.rv
	var all []runtime.Object
	for _, k := range slices.SortedFunc(maps.Keys(s.objects[c.resource]), compareKeys) {
		obj := s.objects[c.resource][k]
		m, _ := meta.Accessor(obj)
		if (c.namespace == "" || k.namespace == c.namespace) && selector.Matches(labels.Set(m.GetLabels())) {
			all = append(all, obj)
		}
	}
	s.mu.Unlock()
	list := newList(c.resource)
	m, _ := meta.ListAccessor(list)
	m.SetResourceVersion(strconv.Itoa(rv))
	all = all[min(from, len(all)):]
	if limit > 0 && len(all) > limit {
		rest := int64(len(all) - limit)
		m.SetContinue(strconv.Itoa(from + limit))
		m.SetRemainingItemCount(&rest)
		all = all[:limit]
	}
	if u, ok := list.(*unstructured.UnstructuredList); ok {
		for _, o := range all {
			u.Items = append(u.Items, *o.(*unstructured.Unstructured))
		}
	} else if err := meta.SetList(list, all); err != nil {
		s.t.Error(err)
	}
	s.write(w, r, list)
}

func (s *apiServer) serveWatch(w http.ResponseWriter, r *http.Request, c call) {
	info := s.media(r, c.resource)
	w.Header().Set("Content-Type", info.MediaType+";stream=watch")
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	enc := streaming.NewEncoder(info.StreamSerializer.Framer.NewFrameWriter(w), info.StreamSerializer.Serializer)
	send := func(kind watch.EventType, obj runtime.Object) bool {
		raw, err := encode(info.Serializer, obj)
		if err != nil {
			s.t.Error(err)
			return false
		}
		err = enc.Encode(&metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: raw}})
		w.(http.Flusher).Flush()
		return err == nil
	}
	w.(http.Flusher).Flush()
	for {
		s.mu.Lock()
		wait, expired := s.changed, from < s.compacted
		todo := slices.Clone(s.events)
		s.mu.Unlock()
		if expired {
			status := apierrors.NewResourceExpired("too old resource version").Status()
			status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
			send(watch.Error, &status)
			return
		}
		for _, e := range todo {
			k := keyOf(e.object)
			if e.rv <= from || e.resource != c.resource || e.kind != watch.Bookmark && c.namespace != "" && k.namespace != c.namespace {
				continue
			}
			if !s.pass(r.Context()) || !send(e.kind, e.object) {
				return
			}
			from = e.rv
		}
		select {
		case <-wait:
		case <-r.Context().Done():
			return
		}
	}
}

// media chooses what to answer in, as the Accept header and the server allow.
// Custom resources are JSON only.
func (s *apiServer) media(r *http.Request, resource string) runtime.SerializerInfo {
	want := contentJSON
	custom := resource == resIngressRoutes || resource == resTraefikServices ||
		slices.ContainsFunc(ingress.CustomKinds, func(k ingress.CustomKind) bool { return k.Resource() == resource })
	if s.binary && !custom && strings.Contains(r.Header.Get("Accept"), contentProtobuf) {
		want = contentProtobuf
	}
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), want)
	if !ok {
		s.t.Errorf("no serializer for %s", want)
	}
	return info
}

func (s *apiServer) write(w http.ResponseWriter, r *http.Request, obj runtime.Object) {
	info := s.media(r, resourceOf(obj))
	raw, err := encode(info.Serializer, obj)
	if err != nil {
		s.t.Error(err)
		return
	}
	w.Header().Set("Content-Type", info.MediaType)
	_, _ = w.Write(raw)
}

func encode(s runtime.Serializer, obj runtime.Object) ([]byte, error) {
	if u, ok := obj.(runtime.Unstructured); ok {
		return json.Marshal(u.UnstructuredContent())
	}
	obj = obj.DeepCopyObject()
	if kinds, _, err := scheme.Scheme.ObjectKinds(obj); err == nil {
		obj.GetObjectKind().SetGroupVersionKind(kinds[0])
	}
	var b bytes.Buffer
	err := s.Encode(obj, &b)
	return b.Bytes(), err
}

func newList(resource string) runtime.Object {
	switch resource {
	case resPods:
		return &corev1.PodList{}
	case resServices:
		return &corev1.ServiceList{}
	case "namespaces":
		return &corev1.NamespaceList{}
	case resSlices:
		return &discoveryv1.EndpointSliceList{}
	case resIngresses:
		return &networkingv1.IngressList{}
	case resClasses:
		return &networkingv1.IngressClassList{}
	}
	l := &unstructured.UnstructuredList{}
	l.SetGroupVersionKind(schema.GroupVersionKind{Group: "traefik.io", Version: "v1alpha1", Kind: "List"})
	return l
}

func resourceOf(obj runtime.Object) string {
	switch o := obj.(type) {
	case *corev1.Pod:
		return resPods
	case *corev1.Service:
		return resServices
	case *corev1.Namespace:
		return "namespaces"
	case *discoveryv1.EndpointSlice:
		return resSlices
	case *networkingv1.Ingress:
		return resIngresses
	case *networkingv1.IngressClass:
		return resClasses
	case *unstructured.Unstructured:
		if k, ok := ingress.CustomKindOf(o.GetKind(), o.GroupVersionKind().Group); ok {
			return k.Resource()
		}
		return map[string]string{"IngressRoute": resIngressRoutes, "TraefikService": resTraefikServices}[o.GetKind()]
	}
	return ""
}

func keyOf(obj runtime.Object) key {
	m, err := meta.Accessor(obj)
	if err != nil {
		return key{}
	}
	return key{m.GetNamespace(), m.GetName()}
}

func compareKeys(a, b key) int {
	return strings.Compare(a.namespace+"/"+a.name, b.namespace+"/"+b.name)
}
