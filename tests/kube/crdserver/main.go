// SPDX-License-Identifier: Apache-2.0

// Crdserver is the part of the Kubernetes API server that serves custom resources, the same code
// that kube-apiserver runs for them, with an etcd inside and Karpenter's definitions installed.
// It prints the address of its API when it serves, and ends when its standard input does.
//
//	crdserver DIRECTORY
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/aws/karpenter-provider-aws/pkg/apis"
	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	definitionclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"
)

const patience = 2 * time.Minute

// etcd wants a port in the name of a socket too.
const socket = "client:1"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: crdserver DIRECTORY")
		os.Exit(2)
	}
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "crdserver:", err)
		os.Exit(1)
	}
}

func serve(directory string) error {
	if err := os.Chdir(directory); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store, err := startStore()
	if err != nil {
		return err
	}
	defer store.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server, err := newServer(listener)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- server.PrepareRun().RunWithContext(ctx) }()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := install(ctx, server.LoopbackClientConfig); err != nil {
		return err
	}
	fmt.Printf("https://%s\n", listener.Addr())
	return <-failed
}

// startStore runs etcd on a socket in this directory.
func startStore() (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Dir = "etcd"
	config.UnsafeNoFsync = true
	config.LogLevel = "error"
	client, peer := url.URL{Scheme: "unix", Host: socket}, url.URL{Scheme: "unix", Host: "peer:1"}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	store, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	select {
	case <-store.Server.ReadyNotify():
		return store, nil
	case <-time.After(patience):
		store.Close()
		return nil, fmt.Errorf("etcd: not ready after %s", patience)
	}
}

// newServer has no authentication: only the loopback address is listened on.
func newServer(listener net.Listener) (*genericapiserver.GenericAPIServer, error) {
	o := options.NewCustomResourceDefinitionsServerOptions(os.Stderr, os.Stderr)
	o.AddFlags(pflag.NewFlagSet("crdserver", pflag.PanicOnError))
	recommended := o.RecommendedOptions
	recommended.SecureServing.Listener = listener
	recommended.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port
	recommended.SecureServing.ServerCert.CertDirectory = "."
	recommended.Etcd.StorageConfig.Transport.ServerList = []string{"unix://" + socket}
	recommended.Authentication, recommended.Authorization, recommended.Admission = nil, nil, nil
	recommended.Features.EnablePriorityAndFairness = false
	recommended.CoreAPI.CoreAPIKubeconfigPath = "kubeconfig"
	if err := os.WriteFile(recommended.CoreAPI.CoreAPIKubeconfigPath, []byte(kubeconfig), 0o600); err != nil {
		return nil, err
	}
	if err := o.Complete(); err != nil {
		return nil, err
	}
	config, err := o.Config()
	if err != nil {
		return nil, err
	}
	server, err := config.Complete().New(genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	return server.GenericAPIServer, nil
}

// The server asks a main API server for nothing here, but wants to know where it would be.
const kubeconfig = `{"apiVersion": "v1", "kind": "Config", "current-context": "none",
 "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
 "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
 "users": [{"name": "none", "user": {}}]}
`

// install creates Karpenter's definitions and waits until their objects can be.
func install(ctx context.Context, config *rest.Config) error {
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return err
	}
	definitions := client.ApiextensionsV1().CustomResourceDefinitions()
	for _, definition := range apis.CRDs {
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true,
			func(ctx context.Context) (bool, error) {
				return created(ctx, definitions, definition)
			})
		if err != nil {
			return fmt.Errorf("%s: %w", definition.Name, err)
		}
	}
	return nil
}

// created asks for the definition until the server, which may still be starting, has established it.
func created(ctx context.Context, client definitionclient.CustomResourceDefinitionInterface,
	definition *apiextensions.CustomResourceDefinition) (bool, error) {
	_, err := client.Create(ctx, definition, metav1.CreateOptions{})
	if errors.IsInvalid(err) {
		return false, err
	}
	now, err := client.Get(ctx, definition.Name, metav1.GetOptions{})
	if err != nil {
		return false, nil
	}
	for _, condition := range now.Status.Conditions {
		if condition.Type == apiextensions.Established {
			return condition.Status == apiextensions.ConditionTrue, nil
		}
	}
	return false, nil
}
