"""An image of a given size for rows about images: the same bytes every time, half of them compressible."""

import gzip
import hashlib
import io
import json
import pathlib
import random
import tarfile

WORDS = b"the quick brown fox jumps over the lazy dog and says hello to everybody in the house of layers ".split()
TEXT = b" ".join(random.Random(0).choices(WORDS, k=400_000))


def content(source, size):
    """Half text, half noise: deflates to a bit more than half, as programs and libraries do."""
    begin = source.randrange(len(TEXT) // 2)
    return TEXT[begin:begin + (size + 1) // 2] + source.randbytes(size // 2)


def layer(number, size):
    """An uncompressed tar of about `size` bytes: many small files, some large ones, folders and links."""
    source = random.Random(number)
    out, left, count = io.BytesIO(), size, 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        while left > 0:
            folder = f"opt/layer{number}/d{count // 100}"
            if count % 100 == 0:
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            length = min(left, source.choice((300, 2000, 9000, 40_000, 400_000)))
            entry = tarfile.TarInfo(f"{folder}/f{count}")
            entry.size, entry.mode, entry.mtime = length, 0o644, 1_000_000_000
            tar.addfile(entry, io.BytesIO(content(source, length)))
            left -= length
            count += 1
    return out.getvalue()


def write(folder, name, layers, blob_bytes):
    """An OCI layout in `folder` with one image of that many layers, whose blobs are about `blob_bytes` in all.

    Returns the uncompressed tars' total size."""
    folder = pathlib.Path(folder)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    prefix = "application/vnd.oci.image."
    described, diff_ids, total = [], [], 0
    for number in range(layers):
        tar = layer(number, int(blob_bytes / layers / 0.63))
        total += len(tar)
        diff_ids.append("sha256:" + hashlib.sha256(tar).hexdigest())
        described.append(put(gzip.compress(tar, 6, mtime=0), prefix + "layer.v1.tar+gzip"))
    config = put(json.dumps({"architecture": "amd64", "os": "linux",
                             "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode(), prefix + "config.v1+json")
    manifest = put(json.dumps({"schemaVersion": 2, "mediaType": prefix + "manifest.v1+json", "config": config,
                               "layers": described}).encode(), prefix + "manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": name}
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    return total
