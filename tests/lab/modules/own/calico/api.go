package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
)

const (
	group   = "/apis/crd.projectcalico.org/v1"
	account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	// A call that takes longer is given up: the kubelet asks again.
	patience = 10 * time.Second
)

// object is any JSON document of the API.
type object = map[string]any

// api speaks to the API server with one identity.
type api struct {
	server, token string
	client        *http.Client
}

// failure is an answer that is no success.
type failure struct {
	code    int
	message string
}

func (f *failure) Error() string { return f.message }

func hasCode(err error, code int) bool {
	var f *failure
	return errors.As(err, &f) && f.code == code
}

func connect(server, token string, authority []byte) *api {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	return &api{server: server, token: token, client: &http.Client{Transport: transport}}
}

// inCluster is the identity of the pod's own account.
func inCluster() (*api, error) {
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, err
	}
	return connect(clusterServer(), string(token), authority), nil
}

func clusterServer() string {
	host := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	return "https://" + host
}

var (
	serverLine    = regexp.MustCompile(`server: *"?([^\s",]+)`)
	tokenLine     = regexp.MustCompile(`token: *"?([^\s",]+)`)
	authorityLine = regexp.MustCompile(`certificate-authority-data: *"?([^\s",]+)`)
)

// fromKubeconfig is the identity that calico-node wrote for the plugin.
func fromKubeconfig(path string) (*api, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	find := func(pattern *regexp.Regexp) string {
		if found := pattern.FindSubmatch(content); found != nil {
			return string(found[1])
		}
		return ""
	}
	authority, err := base64.StdEncoding.DecodeString(find(authorityLine))
	if err != nil || find(serverLine) == "" {
		return nil, fmt.Errorf("error loading config file %q", path)
	}
	return connect(find(serverLine), find(tokenLine), authority), nil
}

func writeKubeconfig(path, token string) error {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return err
	}
	content := fmt.Sprintf(`# Kubeconfig file for the Calico CNI plugin's stand-in.
apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    server: %s
    certificate-authority-data: %q
users:
- name: calico
  user:
    token: %s
contexts:
- name: calico-context
  context: {cluster: local, user: calico}
current-context: calico-context
`, clusterServer(), base64.StdEncoding.EncodeToString(authority), token)
	return replaceFile(path, []byte(content), 0o600)
}

// replaceFile leaves no moment with half a file. The dot keeps readers of the folder away.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	at := strings.LastIndex(path, "/")
	temporary := path[:at+1] + "." + path[at+1:] + ".new"
	if err := os.WriteFile(temporary, content, mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func (a *api) call(method, path, kind string, body any) (object, error) {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(method, a.server+path, reader)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	client := *a.client
	client.Timeout = patience
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer object
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		message, _ := answer["message"].(string)
		return nil, &failure{code: response.StatusCode, message: message}
	}
	return answer, nil
}

func (a *api) get(path string) (object, error) { return a.call(http.MethodGet, path, "", nil) }

func (a *api) create(path string, body object) (object, error) {
	return a.call(http.MethodPost, path, "application/json", body)
}

func (a *api) update(path string, body object) (object, error) {
	return a.call(http.MethodPut, path, "application/json", body)
}

func (a *api) remove(path string) error {
	if _, err := a.call(http.MethodDelete, path, "", nil); err != nil && !hasCode(err, http.StatusNotFound) {
		return err
	}
	return nil
}

func (a *api) patch(path string, body object) error {
	_, err := a.call(http.MethodPatch, path, "application/strategic-merge-patch+json", body)
	return err
}

func (a *api) list(path string) ([]object, error) {
	answer, err := a.get(path)
	if err != nil {
		return nil, err
	}
	return objects(answer["items"]), nil
}

// ensure creates what is not there.
func (a *api) ensure(collection string, body object) error {
	if _, err := a.get(collection + "/" + text(body, "metadata", "name")); !hasCode(err, http.StatusNotFound) {
		return err
	}
	if _, err := a.create(collection, body); err != nil && !hasCode(err, http.StatusConflict) {
		return err
	}
	return nil
}

// watch sends a sign at every change of a collection, and when it has to start over.
func (a *api) watch(path string, changed chan<- struct{}) {
	sign := func() {
		select {
		case changed <- struct{}{}:
		default: // One is waiting already.
		}
	}
	for {
		request, err := http.NewRequest(http.MethodGet, a.server+path+"?watch=1", nil)
		if err == nil {
			request.Header.Set("Authorization", "Bearer "+a.token)
			if response, err := a.client.Do(request); err == nil {
				decoder := json.NewDecoder(response.Body)
				for {
					var event object
					if decoder.Decode(&event) != nil {
						break
					}
					sign()
				}
				response.Body.Close()
			}
		}
		sign()
		time.Sleep(time.Second)
	}
}

func text(o object, path ...string) string {
	var value any = o
	for _, key := range path {
		inner, ok := value.(object)
		if !ok {
			return ""
		}
		value = inner[key]
	}
	found, _ := value.(string)
	return found
}

func objects(value any) []object {
	list, _ := value.([]any)
	found := make([]object, 0, len(list))
	for _, one := range list {
		if o, ok := one.(object); ok {
			found = append(found, o)
		}
	}
	return found
}

func resource(kind, name string, spec object) object {
	return object{
		"apiVersion": "crd.projectcalico.org/v1", "kind": kind,
		"metadata": object{"name": name}, "spec": spec,
	}
}
