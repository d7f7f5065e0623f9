package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1alpha1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"knative.dev/pkg/apis"
	"sigs.k8s.io/yaml"
)

// Verdict is what Tekton says about one document.
type Verdict struct {
	File     string `json:"file"`
	Document int    `json:"document"` // from 0, in the file
	Kind     string `json:"kind"`     // empty where the document could not be read that far
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	// One entry per message; where Tekton adds details, they follow the message after a newline.
	Errors []string `json:"errors"`
}

type object interface {
	metav1.Object
	apis.Defaultable
	apis.Validatable
}

// What this release's webhook serves, by apiVersion and kind.
var served = map[string]func() object{
	"tekton.dev/v1 Task":                     func() object { return &v1.Task{} },
	"tekton.dev/v1 Pipeline":                 func() object { return &v1.Pipeline{} },
	"tekton.dev/v1 TaskRun":                  func() object { return &v1.TaskRun{} },
	"tekton.dev/v1 PipelineRun":              func() object { return &v1.PipelineRun{} },
	"tekton.dev/v1beta1 Task":                func() object { return &v1beta1.Task{} },
	"tekton.dev/v1beta1 Pipeline":            func() object { return &v1beta1.Pipeline{} },
	"tekton.dev/v1beta1 TaskRun":             func() object { return &v1beta1.TaskRun{} },
	"tekton.dev/v1beta1 PipelineRun":         func() object { return &v1beta1.PipelineRun{} },
	"tekton.dev/v1beta1 CustomRun":           func() object { return &v1beta1.CustomRun{} },
	"tekton.dev/v1beta1 StepAction":          func() object { return &v1beta1.StepAction{} },
	"tekton.dev/v1alpha1 StepAction":         func() object { return &v1alpha1.StepAction{} },
	"tekton.dev/v1alpha1 VerificationPolicy": func() object { return &v1alpha1.VerificationPolicy{} },
}

// validateFile judges every document of tekton.dev in text, and every one that cannot be read at all.
func validateFile(ctx context.Context, file string, text []byte) []Verdict {
	var verdicts []Verdict
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for index := 0; ; index++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return verdicts
		}
		if err != nil {
			return append(verdicts, Verdict{File: file, Document: index, Errors: []string{err.Error()}})
		}
		for _, verdict := range validateDocument(ctx, document) {
			verdict.File, verdict.Document = file, index
			verdicts = append(verdicts, verdict)
		}
	}
}

// validateDocument gives no verdict for what is empty or not Tekton's, and one per item for a List.
func validateDocument(ctx context.Context, document []byte) []Verdict {
	text, err := asJSON(document)
	if err != nil {
		return []Verdict{{Errors: []string{err.Error()}}}
	}
	if string(text) == "null" {
		return nil
	}
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Items           []json.RawMessage `json:"items"`
	}
	switch err := json.Unmarshal(text, &head); {
	case err != nil:
		return []Verdict{{Errors: []string{err.Error()}}}
	case head.APIVersion == "" || head.Kind == "":
		return []Verdict{{Kind: head.Kind, Errors: []string{"apiVersion and kind must be set"}}}
	case head.APIVersion == "v1" && head.Kind == "List":
		var verdicts []Verdict
		for _, item := range head.Items {
			verdicts = append(verdicts, validateDocument(ctx, item)...)
		}
		return verdicts
	case !strings.HasPrefix(head.APIVersion, "tekton.dev/"):
		return nil
	}
	create, found := served[head.APIVersion+" "+head.Kind]
	if !found {
		message := fmt.Sprintf("no matches for kind %q in version %q", head.Kind, head.APIVersion)
		return []Verdict{{Kind: head.Kind, Errors: []string{message}}}
	}
	return []Verdict{validateObject(ctx, head.Kind, create(), text)}
}

// asJSON reads as kubectl does: of a key given twice the last one counts, and JSON is not taken for YAML.
func asJSON(document []byte) ([]byte, error) {
	if json.Valid(document) {
		return document, nil
	}
	return yaml.YAMLToJSON(document)
}

func validateObject(ctx context.Context, kind string, into object, text []byte) Verdict {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return Verdict{Kind: kind, Errors: []string{"cannot decode incoming new object: " + err.Error()}}
	}
	verdict := Verdict{Kind: kind, Name: into.GetName(), Errors: []string{}}
	if into.GetName() == "" {
		verdict.Name = into.GetGenerateName()
		if verdict.Name != "" {
			into.SetName(generated(verdict.Name))
		}
	}
	into.SetDefaults(ctx)
	for _, found := range into.Validate(ctx).Filter(apis.ErrorLevel).WrappedErrors() {
		verdict.Errors = append(verdict.Errors, found.Error())
	}
	verdict.OK = len(verdict.Errors) == 0
	return verdict
}

// generated is a name as the API server makes it from metadata.generateName, before any webhook sees the object.
func generated(prefix string) string {
	const longest, random = 63, "xxxxx"
	return prefix[:min(len(prefix), longest-len(random))] + random
}
