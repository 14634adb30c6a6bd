package apiserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// negotiate returns the serializer for the first acceptable media type. It
// passes over the variants that this server does not have (as=Table, the
// aggregated discovery): clients that ask for them always offer the plain one
// as well.
func negotiate(accept string) (runtime.SerializerInfo, bool) {
	if accept == "" {
		accept = runtime.ContentTypeJSON
	}
	for clause := range strings.SplitSeq(accept, ",") {
		name, params, err := mime.ParseMediaType(clause)
		if err != nil || params["as"] != "" {
			continue
		}
		if name == "*/*" || name == "application/*" {
			name = runtime.ContentTypeJSON
		}
		if info, ok := runtime.SerializerInfoForMediaType(Codecs.SupportedMediaTypes(), name); ok {
			return info, true
		}
	}
	return runtime.SerializerInfo{}, false
}

// writeObject answers with o in the client's format.
func writeObject(w http.ResponseWriter, r *http.Request, code int, gv schema.GroupVersion, o runtime.Object) {
	info, ok := negotiate(r.Header.Get("Accept"))
	if !ok {
		http.Error(w, "only application/json, application/yaml and "+runtime.ContentTypeProtobuf, http.StatusNotAcceptable)
		return
	}
	var body bytes.Buffer
	if err := Codecs.EncoderForVersion(info.Serializer, gv).Encode(shallow(o), &body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", info.MediaType)
	w.WriteHeader(code)
	_, _ = body.WriteTo(w) // fails when the client is gone
}

// shallow copies the outermost struct of o: encoding sets its kind, while other
// requests read the same object.
func shallow(o runtime.Object) runtime.Object {
	copied := reflect.New(reflect.TypeOf(o).Elem())
	copied.Elem().Set(reflect.ValueOf(o).Elem())
	return copied.Interface().(runtime.Object)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

// writeError answers with the error's Status.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	writeObject(w, r, int(status.Code), schema.GroupVersion{Version: "v1"}, status)
}

func statusOf(err error) *metav1.Status {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	return &status
}

func errUnauthorized() error { return apierrors.NewUnauthorized("Unauthorized") }

func errForbidden(a access) error {
	where := "at the cluster scope"
	if a.namespace != "" {
		where = "in the namespace " + quote(a.namespace)
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
		Details: &metav1.StatusDetails{Group: a.group, Kind: a.resource},
		Message: a.resource + " is forbidden: User " + quote(User) + " cannot " + a.verb + " resource " +
			quote(a.resource) + " in API group " + quote(a.group) + " " + where,
	}}
}

func quote(s string) string { return `"` + s + `"` }
