// tekton-validate says what Tekton's admission webhook would say about YAML files: strict decoding, defaults, then
// validation, with every feature gate open. It needs no cluster, so references to other objects stay unresolved.
//
//	tekton-validate FILE…             one JSON line per tekton.dev document
//	tekton-validate -bench N FILE…    median nanoseconds of N times parse + validate, a tab, the file
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/config"
	"knative.dev/pkg/apis"
)

func main() {
	log.SetFlags(0)
	rounds := flag.Int("bench", 0, "measure each file this many times instead of reporting on it")
	flag.Parse()

	ctx, err := everyGateOpen()
	if err != nil {
		log.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, file := range flag.Args() {
		text, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		if *rounds > 0 {
			fmt.Printf("%d\t%s\n", median(*rounds, func() { validateFile(ctx, file, text) }).Nanoseconds(), file)
			continue
		}
		for _, verdict := range validateFile(ctx, file, text) {
			if err := out.Encode(verdict); err != nil {
				log.Fatal(err)
			}
		}
	}
}

// everyGateOpen is the context of a create request to an installation that allows all that this release can do.
func everyGateOpen() (context.Context, error) {
	gates, err := config.NewFeatureFlagsFromMap(map[string]string{
		"enable-api-fields":                 config.AlphaAPIFields,
		config.EnableArtifacts:              "true",
		config.EnableCELInWhenExpression:    "true",
		config.EnableConciseResolverSyntax:  "true",
		config.EnableKubernetesSidecar:      "true",
		config.EnableParamEnum:              "true",
		config.EnableWaitExponentialBackoff: "true",
		config.KeepPodOnCancel:              "true",
	})
	if err != nil {
		return nil, err
	}
	installed := config.FromContextOrDefaults(context.Background())
	installed.FeatureFlags = gates
	return apis.WithinCreate(config.ToContext(context.Background(), installed)), nil
}

func median(rounds int, action func()) time.Duration {
	times := make([]time.Duration, rounds)
	for i := range times {
		begin := time.Now()
		action()
		times[i] = time.Since(begin)
	}
	slices.Sort(times)
	return times[rounds/2]
}
