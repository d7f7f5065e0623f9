#!/usr/bin/env python3
"""A pipeline as one wrote it in 2019 runs: v1alpha1, inputs and outputs, git and image PipelineResources."""

import unittest

import harness

PIPELINE = r"""
apiVersion: tekton.dev/v1alpha1
kind: PipelineRun
metadata: {name: ship}
spec:
  pipelineRef: {name: ship}
  serviceAccount: builder
  timeout: 10m
  resources:
  - {name: source, resourceRef: {name: shop-git}}
  - name: image
    resourceSpec: {type: image, params: [{name: url, value: "localhost:5000/shop:1"}]}
---
apiVersion: tekton.dev/v1alpha1
kind: PipelineResource
metadata: {name: shop-git}
spec:
  type: git
  params:
  - {name: url, value: URL}
  - {name: revision, value: REVISION}
---
apiVersion: tekton.dev/v1alpha1
kind: Pipeline
metadata: {name: ship}
spec:
  resources: [{name: source, type: git}, {name: image, type: image}]
  tasks:
  - name: deploy
    taskRef: {name: deploy}
    resources:
      inputs:
      - {name: workspace, resource: source, from: [build]}
      - {name: image, resource: image, from: [build]}
  - name: check
    taskRef: {name: deploy}
    resources:
      inputs:
      - {name: workspace, resource: source, from: [build]}
      - {name: image, resource: image}
  - name: build
    taskRef: {name: build-push, kind: ClusterTask}
    resources:
      inputs: [{name: workspace, resource: source}]
      outputs: [{name: built, resource: source}, {name: builtImage, resource: image}]
---
apiVersion: tekton.dev/v1alpha1
kind: ClusterTask
metadata: {name: build-push}
spec:
  inputs:
    resources: [{name: workspace, type: git, targetPath: go/src/shop}, {name: extra, type: git, optional: true}]
    params: [{name: file, default: "${inputs.resources.workspace.path}/manifest"}]
  outputs: {resources: [{name: built, type: git}, {name: builtImage, type: image}]}
  stepTemplate: {command: [sh, -c], workingDir: /workspace/go/src/shop/sub}
  steps:
  - name: build-and-push
    image: kiln/build
    command: [sh, -c]
    args:
    - |
      set -eu
      test -d $(outputs.resources.builtImage.path)
      test ! -e /workspace/extra
      test $HOME = /tekton/home
      cp ${inputs.params.file} ${outputs.resources.built.path}/
      echo "built ${outputs.resources.builtImage.url} at $(inputs.resources.workspace.revision)" >> $(outputs.resources.built.path)/log
---
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: deploy}
spec:
  inputs: {resources: [{name: workspace, type: git}, {name: image, type: image}]}
  steps:
  - name: deploy
    image: kiln/build
    script: |
      #!/bin/sh
      set -eu
      cd workspace
      test ! -e .git && test ! -e mine
      touch mine
      NAME=shell
      echo "deploy $(inputs.resources.image.url): $(cat manifest) ${NAME} $(cat log)"
"""


class Convert(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        harness.require("git")
        cls.world = harness.World()
        cls.repository = cls.world.folder / "shop"
        cls.repository.mkdir()
        harness.git(cls.repository, "init", "-q", "-b", "main")
        cls.repository.joinpath("manifest").write_text("first")
        harness.commit(cls.repository, "first")
        harness.git(cls.repository, "tag", "v1")
        cls.repository.joinpath("manifest").write_text("second")
        cls.second = harness.commit(cls.repository, "second")

    @classmethod
    def tearDownClass(cls):
        cls.world.close()

    def file(self, revision):
        path = self.world.folder / "pipeline.yaml"
        path.write_text(PIPELINE.replace("URL", f"file://{self.repository}").replace("REVISION", revision))
        return path

    def test_a_pipeline_from_2019_runs(self):
        run = self.world.kiln("run", self.file("v1"), check=0)
        expected = "deploy localhost:5000/shop:1: first shell built localhost:5000/shop:1 at v1"
        self.assertEqual(run.stdout.count(expected) + run.stderr.count(expected), 2, run.stderr)

    def test_the_command_line_gives_another_revision(self):
        run = self.world.kiln("run", self.file("v1"), "-p", "source.revision=main", check=0)
        self.assertIn(": second shell built localhost:5000/shop:1 at main", run.stdout + run.stderr)

    def test_a_ref_that_is_neither_branch_nor_tag(self):
        harness.git(self.repository, "update-ref", "refs/pull/7/head", harness.git(
            self.repository, "commit-tree", "-p", "HEAD", "-m", "pull", "HEAD^{tree}"))
        target = self.world.folder / "pull"
        self.world.kiln("git-clone", "--url", f"file://{self.repository}", "--revision", "refs/pull/7/head", target, check=0)
        self.assertEqual(harness.git(target, "log", "-1", "--format=%s"), "pull")
        short = self.world.folder / "short"
        self.world.kiln("git-clone", "--url", f"file://{self.repository}", "--revision", "pull/7/head", short, check=0)
        self.assertEqual(harness.git(short, "log", "-1", "--format=%s"), "pull")
        named = self.world.folder / "named"
        self.world.kiln("git-clone", "--url", f"file://{self.repository}", "--revision", "seven",
                        "--refspec", "refs/pull/7/head:refs/heads/seven", named, check=0)
        self.assertEqual(harness.git(named, "log", "-1", "--format=%s"), "pull")

    def test_submodules_are_fetched_when_asked_for(self):
        outer = self.world.folder / "outer"
        outer.mkdir()
        harness.git(outer, "init", "-q", "-b", "main")
        harness.git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", f"file://{self.repository}", "inner")
        harness.commit(outer, "with a submodule")
        with_it, without = self.world.folder / "with", self.world.folder / "without"
        self.world.kiln("git-clone", "--url", f"file://{outer}", "--submodules=true", with_it, check=0)
        self.assertEqual(with_it.joinpath("inner", "manifest").read_text(), "second")
        self.world.kiln("git-clone", "--url", f"file://{outer}", without, check=0)
        self.assertFalse(without.joinpath("inner", "manifest").exists())

    def test_copying_takes_links_as_they_are(self):
        source, target = self.world.folder / "links", self.world.folder / "copied"
        source.mkdir()
        source.joinpath("link").symlink_to("nowhere")
        self.world.kiln("git-clone", f"--from={source}", target, check=0)
        self.assertTrue(target.joinpath("link").is_symlink())
        run = self.world.kiln("git-clone", "--from=/nowhere", target, check=None)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("there is no folder /nowhere", run.stderr)

    def test_no_url_is_a_mistake_unless_it_may_be(self):
        target = self.world.folder / "none"
        self.assertIn("URL is empty", self.world.kiln("git-clone", target, check=2).stderr)
        self.world.kiln("git-clone", "--url=", "--optional", target, check=0)


if __name__ == "__main__":
    harness.main()
