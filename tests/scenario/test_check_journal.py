# SPDX-License-Identifier: MIT
"""voxbusd --check-journal: what it prints, how it ends, and that it leaves every byte as it was."""
import subprocess

import harness


def files(directory):
    return {f.name: (f.read_bytes(), f.stat().st_mtime_ns, f.stat().st_ctime_ns) for f in directory.iterdir()}


def check(*args):
    done = subprocess.run([str(harness.VOXBUSD), *args], capture_output=True, text=True, timeout=60, check=False,
                          env=harness.child_env())
    assert not harness.SANITIZER.search(done.stderr), done.stderr
    return done


def filled(daemon):
    d = daemon({"journal": {"segment": "1MiB"}})
    p = d.pubsub()
    for n in range(60):
        assert p.post("q", f"{n} " + "x" * 1000, "text/plain").status == 200
    return d


def test_sound_damaged_and_in_use(daemon):
    d = filled(daemon)
    journal = d.data_dir / "journal"
    of_config = ("-c", str(d.config_path), "--check-journal")
    busy = check(*of_config)
    assert busy.returncode == 2
    assert f"process {d.pid}" in busy.stderr and "stop it" in busy.stderr
    d.stop()
    before = files(journal)
    for args in (of_config, (f"--check-journal={d.data_dir}",), (f"--check-journal={journal}",)):
        sound = check(*args)
        assert sound.returncode == 0, sound
        assert sound.stdout.count("\n") == 1 and sound.stdout.endswith(": sound\n"), sound.stdout
        assert " 60 records" in sound.stdout
    segment = journal / "00000001.vbj"
    data = bytearray(segment.read_bytes())
    data[data.find(b"30 xxxx") + 500] ^= 1
    segment.write_bytes(data)
    damaged = files(journal)
    assert damaged != before
    found = check(*of_config)
    assert found.returncode == 1
    lines = found.stdout.splitlines()
    assert len(lines) == 2 and lines[1].endswith(" 1 damaged: damaged"), found.stdout
    assert lines[0].startswith("00000001.vbj at ") and 'number 31' in lines[0], found.stdout
    assert "/q" in lines[0] and lines[0].endswith(": a start skips it"), found.stdout
    assert files(journal) == damaged


def test_what_cant_be_checked(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        done = check(f"--check-journal={path}")
        assert done.returncode == 2 and str(path) in done.stderr, done
    (tmp_path / "00000001.vbj").write_bytes(b"no segment at all" * 1000)
    done = check(f"--check-journal={tmp_path}")
    assert done.returncode == 1 and "both its headers are damaged" in done.stdout, done
