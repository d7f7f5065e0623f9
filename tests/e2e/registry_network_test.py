#!/usr/bin/env python3
"""Registries that ask who comes (client certificates), and registries behind a proxy."""

import subprocess
import unittest

import harness
from registry_peers import DockerRegistry, Proxy, make_certificate


class Network(unittest.TestCase):
    def setUp(self):
        harness.require("openssl", "umoci", "docker-registry")
        self.world = harness.World()
        self.addCleanup(self.world.close)
        self.folder = self.world.folder
        self.world.env.update(XDG_DATA_HOME=str(self.folder / "data"), HOME=str(self.folder / "home"), no_proxy="")
        for name in ("http_proxy", "https_proxy", "all_proxy", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            self.world.env.pop(name, None)
        layout = self.folder / "layout"
        (self.folder / "file").write_text("hello")
        for words in (("init", "--layout", layout), ("new", "--image", f"{layout}:v1"),
                      ("insert", "--image", f"{layout}:v1", self.folder / "file", "/file")):
            subprocess.run(["umoci", *words], check=True, capture_output=True)
        self.world.kiln("image", "copy", f"oci:{layout}:v1", "hello", check=0)

    def peer(self, *arguments):
        peer = DockerRegistry(self.folder / "peer", *arguments)
        self.addCleanup(peer.close)
        return peer

    def certificates(self, host):
        folder = self.folder / "config/containers/certs.d" / host
        folder.mkdir(parents=True)
        return folder

    def there_and_back(self, host, **env):
        self.world.kiln("image", "push", "hello", f"docker://{host}/team/app:v1", check=0, env=env)
        self.world.kiln("image", "rm", "hello", check=0)
        self.world.kiln("image", "gc", "--grace", "0s", check=0)
        self.world.kiln("image", "copy", f"docker://{host}/team/app:v1", "hello", check=0, env=env)

    def refused(self, host, **env):
        done = self.world.kiln("image", "push", "hello", f"docker://{host}/team/app:v1", check=3, env=env)
        self.assertEqual(len(done.stderr.strip().splitlines()), 2, done.stderr)
        return done.stderr


class ClientCertificates(Network):
    def setUp(self):
        super().setUp()
        self.authority, key = make_certificate(self.folder / "certs")
        self.mine, self.my_key = make_certificate(self.folder / "mine")
        self.host = self.peer((self.authority, key), None, self.mine).host
        self.place = self.certificates(self.host)
        (self.place / "ca.crt").write_text(self.authority.read_text())

    def test_whoever_has_one_is_let_in(self):
        (self.place / "client.cert").write_text(self.mine.read_text())
        (self.place / "client.key").write_text(self.my_key.read_text())
        self.there_and_back(self.host)

    def test_whoever_has_none_is_told_where_it_goes(self):
        said = self.refused(self.host)
        self.assertRegex(said, "certificate")
        self.assertIn(str(self.place / "client.cert"), said)

    def test_anothers_is_not_enough(self):
        other, other_key = make_certificate(self.folder / "other")
        (self.place / "client.cert").write_text(other.read_text())
        (self.place / "client.key").write_text(other_key.read_text())
        self.assertIn(str(self.place / "client.cert"), self.refused(self.host))

    def test_a_certificate_without_its_key_is_said_to_be_so(self):
        (self.place / "client.cert").write_text(self.mine.read_text())
        done = self.world.kiln("image", "push", "hello", f"docker://{self.host}/team/app:v1")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("client.key", done.stderr)


class Proxies(Network):
    """The registry's name is nobody's: only the proxy knows where it leads."""

    HOST = "registry.invalid:5000"

    def proxy(self, peer, password=None):
        proxy = Proxy(peer.port, password)
        self.addCleanup(proxy.close)
        return proxy

    def insecure(self):
        folder = self.folder / "config/containers"
        folder.mkdir(parents=True)
        (folder / "registries.conf").write_text(f'[[registry]]\nlocation = "{self.HOST}"\ninsecure = true\n')

    def test_https_goes_through_a_tunnel(self):
        folder = self.folder / "certs"
        tls = make_certificate(folder, "registry.invalid")
        proxy = self.proxy(self.peer(tls))
        (self.certificates(self.HOST) / "ca.crt").write_text(tls[0].read_text())
        for variable in ("HTTPS_PROXY", "https_proxy"):
            self.there_and_back(self.HOST, **{variable: f"http://{proxy.host}"})
        self.assertEqual(set(proxy.asked), {f"CONNECT {self.HOST}"})

    def test_http_is_asked_of_the_proxy(self):
        self.insecure()
        proxy = self.proxy(self.peer())
        for variable in ("HTTP_PROXY", "http_proxy"):
            del proxy.asked[:]
            address = f"http://{proxy.host}"
            self.there_and_back(self.HOST, **{variable: address, "HTTPS_PROXY": address})
            self.assertTrue([asked for asked in proxy.asked if asked.startswith(f"HEAD http://{self.HOST}/v2/team/app/")], proxy.asked)

    def test_a_proxy_with_a_password(self):
        tls = make_certificate(self.folder / "certs", "registry.invalid")
        proxy = self.proxy(self.peer(tls), "me:s3 cret")
        (self.certificates(self.HOST) / "ca.crt").write_text(tls[0].read_text())
        self.there_and_back(self.HOST, HTTPS_PROXY=f"http://me:s3%20cret@{proxy.host}")
        said = self.refused(self.HOST, HTTPS_PROXY=f"http://me:wr0ng@{proxy.host}")
        self.assertIn("407", said)
        self.assertIn("proxy", said)
        self.assertNotIn("wr0ng", said)

    def test_no_proxy_is_obeyed(self):
        proxy = self.proxy(self.peer())
        for variable, names in (("NO_PROXY", "registry.invalid"), ("no_proxy", "other.example,.invalid"), ("no_proxy", "*")):
            self.refused(self.HOST, **{"HTTPS_PROXY": f"http://{proxy.host}", "no_proxy": "", variable: names})
        self.assertEqual(proxy.asked, [])

    def test_the_machine_itself_is_never_asked_of_a_proxy(self):
        peer = self.peer()
        proxy = self.proxy(peer)
        address = f"http://{proxy.host}"
        self.there_and_back(peer.host, HTTPS_PROXY=address, HTTP_PROXY=address, http_proxy=address)
        self.assertEqual(proxy.asked, [])

    def test_a_proxy_that_is_not_there_is_named(self):
        said = self.refused(self.HOST, HTTPS_PROXY="http://localhost:1")
        self.assertIn("localhost", said)
        self.assertIn("proxy", said)


if __name__ == "__main__":
    harness.main()
