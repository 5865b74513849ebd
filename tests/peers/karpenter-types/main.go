// SPDX-License-Identifier: Apache-2.0

// Writes what Karpenter's provider for AWS makes of every instance type: its labels, and what a node
// of it has and can give away under each of the EC2NodeClasses of classes.yaml. Input: what
// DescribeInstanceTypes says, as JSON. tests/unit/plan_capacity_test.c holds forerun against it.
//
//	label TYPE KEY=VALUE...          labels with one value, without "karpenter.k8s.aws/instance-"
//	class NAME                       what follows is of that class
//	TYPE CPU MEMORY STORAGE PODS CPU MEMORY STORAGE [RESOURCE=COUNT...]
//	                                 capacity, then what of it can be given away: milli-CPU, bytes
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"

	v1 "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	"github.com/aws/karpenter-provider-aws/pkg/operator/options"
	"github.com/aws/karpenter-provider-aws/pkg/providers/instancetype"
)

const prefix = "karpenter.k8s.aws/instance-"

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func readTypes(file string) []ec2types.InstanceTypeInfo {
	text, err := os.ReadFile(file)
	check(err)
	byName := map[string]ec2types.InstanceTypeInfo{}
	check(json.Unmarshal(text, &byName))
	var infos []ec2types.InstanceTypeInfo
	for _, info := range byName {
		for _, architecture := range info.ProcessorInfo.SupportedArchitectures {
			if architecture == "x86_64" || architecture == "arm64" {
				infos = append(infos, info)
				break
			}
		}
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].InstanceType < infos[j].InstanceType })
	return infos
}

func readClasses(file string) []*v1.EC2NodeClass {
	in, err := os.Open(file)
	check(err)
	defer in.Close()
	decoder := yaml.NewYAMLOrJSONDecoder(in, 4096)
	var classes []*v1.EC2NodeClass
	for {
		class := &v1.EC2NodeClass{}
		if decoder.Decode(class) != nil {
			return classes
		}
		classes = append(classes, class)
	}
}

func resolve(ctx context.Context, info ec2types.InstanceTypeInfo, class *v1.EC2NodeClass) *cloudprovider.InstanceType {
	return instancetype.NewDefaultResolver("us-east-1").Resolve(ctx, info, nil, class)
}

func labels(out *bufio.Writer, it *cloudprovider.InstanceType) {
	var words []string
	for key, requirement := range it.Requirements {
		if strings.HasPrefix(key, prefix) && requirement.Operator() == corev1.NodeSelectorOpIn &&
			len(requirement.Values()) == 1 {
			words = append(words, strings.TrimPrefix(key, prefix)+"="+requirement.Values()[0])
		}
	}
	sort.Strings(words)
	fmt.Fprintf(out, "label %s %s\n", it.Name, strings.Join(words, " "))
}

func amounts(out *bufio.Writer, it *cloudprovider.InstanceType) {
	have, free := it.Capacity, it.Allocatable()
	fmt.Fprintf(out, "%s %d %d %d %d %d %d %d", it.Name, have.Cpu().MilliValue(), have.Memory().Value(),
		have.StorageEphemeral().Value(), have.Pods().Value(), free.Cpu().MilliValue(), free.Memory().Value(),
		free.StorageEphemeral().Value())
	var words []string
	for name, quantity := range have {
		if strings.Contains(string(name), "/") && quantity.Value() != 0 {
			words = append(words, fmt.Sprintf(" %s=%d", name, quantity.Value()))
		}
	}
	sort.Strings(words)
	fmt.Fprintln(out, strings.Join(words, ""))
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: karpenter-types INSTANCE-TYPES.json CLASSES.yaml")
		os.Exit(2)
	}
	infos, classes := readTypes(os.Args[1]), readClasses(os.Args[2])
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for i, class := range classes {
		settings := &options.Options{VMMemoryOverheadPercent: 0.075}
		fmt.Sscan(class.Annotations["test/vm-memory-overhead-percent"], &settings.VMMemoryOverheadPercent)
		fmt.Sscan(class.Annotations["test/reserved-enis"], &settings.ReservedENIs)
		ctx := options.ToContext(context.Background(), settings)
		for _, info := range infos {
			if i == 0 {
				labels(out, resolve(ctx, info, class))
			}
		}
		fmt.Fprintf(out, "class %s\n", class.Name)
		for _, info := range infos {
			amounts(out, resolve(ctx, info, class))
		}
	}
}
