// SPDX-License-Identifier: Apache-2.0
//
// Records what Karpenter's provider for AWS makes of user data: each case of cases.json goes through
// its package amifamily/bootstrap, and the outcome is written beside it. Run `go run . >
// bootstrap.json`; the recorded file is what tests/unit/cloud_userdata_test.c compares with.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	"github.com/aws/karpenter-provider-aws/pkg/providers/amifamily/bootstrap"
)

type input struct {
	Name         string                   `json:"name"`
	Family       string                   `json:"family"`
	ImageVersion string                   `json:"imageVersion,omitempty"`
	RAID0        bool                     `json:"raid0,omitempty"`
	UserData     *string                  `json:"userData,omitempty"`
	Kubelet      *v1.KubeletConfiguration `json:"kubelet,omitempty"`
	Labels       map[string]string        `json:"labels,omitempty"`
	Taints       []corev1.Taint           `json:"taints,omitempty"`
}

type output struct {
	input
	Script string `json:"script,omitempty"`
	Tree   any    `json:"tree,omitempty"` // of Bottlerocket's TOML, read by go-toml
	Error  string `json:"error,omitempty"`
}

const (
	clusterName     = "shop"
	clusterEndpoint = "https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com"
	clusterCA       = "Zm9yZXJ1biB0ZXN0IGNlcnRpZmljYXRlIGF1dGhvcml0eQ=="
	clusterCIDR     = "172.20.0.0/16"
)

func options(in input) bootstrap.Options {
	ca, cidr := clusterCA, clusterCIDR
	o := bootstrap.Options{
		ClusterName:     clusterName,
		ClusterEndpoint: clusterEndpoint,
		ClusterCIDR:     &cidr,
		CABundle:        &ca,
		KubeletConfig:   in.Kubelet,
		Taints:          in.Taints,
		Labels:          in.Labels,
		CustomUserData:  in.UserData,
	}
	if o.KubeletConfig == nil {
		o.KubeletConfig = &v1.KubeletConfiguration{}
	}
	if in.RAID0 {
		policy := v1.InstanceStorePolicyRAID0
		o.InstanceStorePolicy = &policy
	}
	return o
}

func bootstrapper(in input) bootstrap.Bootstrapper {
	switch in.Family {
	case "AL2023":
		return bootstrap.Nodeadm{Options: options(in)}
	case "AL2":
		return bootstrap.EKS{Options: options(in)}
	case "Bottlerocket":
		// As amifamily.Bottlerocket.UserData decides it by version.SupportsDefaultBind.
		return bootstrap.Bottlerocket{Options: options(in), EnableDefaultMountPaths: in.ImageVersion == "latest"}
	case "Custom":
		return bootstrap.Custom{Options: options(in)}
	}
	panic("no such family: " + in.Family)
}

func record(in input) output {
	out := output{input: in}
	encoded, err := bootstrapper(in).Script(context.Background())
	if err != nil {
		out.Error = err.Error()
		return out
	}
	script, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		panic(err)
	}
	if in.Family != "Bottlerocket" {
		out.Script = string(script)
		return out
	}
	if err := toml.Unmarshal(script, &out.Tree); err != nil {
		panic(err)
	}
	return out
}

func main() {
	text, err := os.ReadFile("cases.json")
	if err != nil {
		panic(err)
	}
	var cases []input
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&cases); err != nil {
		panic(err)
	}
	outputs := []output{}
	for _, in := range cases {
		outputs = append(outputs, record(in))
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(outputs); err != nil {
		panic(err)
	}
	fmt.Fprintf(os.Stderr, "%d cases\n", len(outputs))
}
