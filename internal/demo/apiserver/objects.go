package apiserver

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// request is a parsed path below /api or /apis.
type request struct {
	res       *resource
	namespace string
	name      string
}

// parsePath reads /api/v1/namespaces/NS/pods/NAME and its shorter forms.
func parsePath(path string) (request, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var gv schema.GroupVersion
	switch {
	case len(parts) > 2 && parts[0] == "api":
		gv, parts = schema.GroupVersion{Version: parts[1]}, parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		gv, parts = schema.GroupVersion{Group: parts[1], Version: parts[2]}, parts[3:]
	default:
		return request{}, false
	}
	var q request
	if len(parts) > 2 && parts[0] == "namespaces" {
		q.namespace, parts = parts[1], parts[2:]
	}
	if len(parts) > 2 {
		return request{}, false // a subresource: pods/log
	}
	if len(parts) == 2 {
		q.name = parts[1]
	}
	q.res = lookup(gv, parts[0])
	if q.res == nil || !q.res.namespaced && q.namespace != "" {
		return request{}, false
	}
	return q, true
}

func (s *Server) serveObjects(w http.ResponseWriter, r *http.Request) {
	q, ok := parsePath(r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	var opts metav1.ListOptions
	if err := parameterCodec.DecodeParameters(r.URL.Query(), schema.GroupVersion{Version: "v1"}, &opts); err != nil {
		writeError(w, r, apierrors.NewBadRequest(err.Error()))
		return
	}
	verb := "list"
	switch {
	case q.res.createOnly && r.Method == http.MethodPost:
		s.serveReview(w, r)
		return
	case r.Method != http.MethodGet || q.res.createOnly:
		writeError(w, r, apierrors.NewMethodNotSupported(q.res.groupResource(), strings.ToLower(r.Method)))
		return
	case q.name != "":
		verb = "get"
	case opts.Watch:
		verb = "watch"
	}
	if a := (access{verb, q.res.gv.Group, q.res.name, q.namespace}); !s.allowed(a) {
		writeError(w, r, errForbidden(a))
		return
	}
	match, err := newMatcher(q, opts)
	if err != nil {
		writeError(w, r, apierrors.NewBadRequest(err.Error()))
		return
	}
	switch verb {
	case "get":
		s.serveGet(w, r, q)
	case "watch":
		s.serveWatch(w, r, q, match, opts)
	default:
		s.serveList(w, r, q, match)
	}
}

func (s *Server) serveGet(w http.ResponseWriter, r *http.Request, q request) {
	all, _ := s.store.listAt(q.res, q.namespace)
	i := slices.IndexFunc(all, func(o Object) bool { return o.GetName() == q.name })
	if i < 0 || q.res.namespaced && q.namespace == "" {
		writeError(w, r, apierrors.NewNotFound(q.res.groupResource(), q.name))
		return
	}
	writeObject(w, r, http.StatusOK, q.res.gv, all[i])
}

// serveList answers with everything at once: "limit" is a wish that a server
// need not grant (ListOptions, meta/v1).
func (s *Server) serveList(w http.ResponseWriter, r *http.Request, q request, match matcher) {
	all, rev := s.store.listAt(q.res, q.namespace)
	list, err := served.New(q.res.gv.WithKind(q.res.kind + "List"))
	if err != nil {
		writeError(w, r, err)
		return
	}
	items := make([]runtime.Object, 0, len(all))
	for _, o := range all {
		if match(o) {
			items = append(items, o)
		}
	}
	if err := meta.SetList(list, items); err != nil {
		writeError(w, r, err)
		return
	}
	list.(metav1.ListInterface).SetResourceVersion(strconv.FormatUint(rev, 10))
	writeObject(w, r, http.StatusOK, q.res.gv, list)
}

// serveReview answers a SelfSubjectAccessReview from the Deny rules.
func (s *Server) serveReview(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		writeError(w, r, apierrors.NewBadRequest(err.Error()))
		return
	}
	var in authorizationv1.SelfSubjectAccessReview
	if _, _, err := Codecs.UniversalDeserializer().Decode(body, nil, &in); err != nil || in.Kind == "" {
		writeError(w, r, apierrors.NewBadRequest("the body is no SelfSubjectAccessReview"))
		return
	}
	if a := in.Spec.ResourceAttributes; a != nil {
		in.Status.Allowed = s.allowed(access{a.Verb, a.Group, a.Resource, a.Namespace})
	}
	writeObject(w, r, http.StatusCreated, authorizationv1.SchemeGroupVersion, &in)
}

// matcher reports whether an object is selected.
type matcher func(Object) bool

func newMatcher(q request, opts metav1.ListOptions) (matcher, error) {
	byLabel, err := labels.Parse(opts.LabelSelector)
	if err != nil {
		return nil, err
	}
	byField, err := fields.ParseSelector(opts.FieldSelector)
	if err != nil {
		return nil, err
	}
	for _, want := range byField.Requirements() {
		if _, ok := fieldsOf(reflectZero(q.res))[want.Field]; !ok {
			return nil, fmt.Errorf("field label not supported: %s", want.Field)
		}
	}
	return func(o Object) bool {
		return (q.namespace == "" || o.GetNamespace() == q.namespace) &&
			byLabel.Matches(labels.Set(o.GetLabels())) && byField.Matches(fieldsOf(o))
	}, nil
}

// fieldsOf returns what a field selector can ask for.
func fieldsOf(o Object) fields.Set {
	set := fields.Set{"metadata.name": o.GetName(), "metadata.namespace": o.GetNamespace()}
	switch o := o.(type) {
	case *corev1.Pod:
		set["status.phase"] = string(o.Status.Phase)
		set["spec.nodeName"] = o.Spec.NodeName
		set["status.podIP"] = o.Status.PodIP
	case *corev1.Event:
		set["involvedObject.kind"] = o.InvolvedObject.Kind
		set["involvedObject.name"] = o.InvolvedObject.Name
	}
	return set
}
