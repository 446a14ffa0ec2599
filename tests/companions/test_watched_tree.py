"""Changes that the system does not report: behind links, of a watched folder itself, and in a folder that has just come."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from procman.companions.watcher.rules import Rule, concerned
from procman.companions.watcher.tree import Tree


def tree_of(root: Path, *patterns: str) -> Tree:
    """One that has begun, and compared once: what was written just before does not matter."""
    tree = Tree([Rule.of("web", pattern) for pattern in patterns], str(root))
    begun(tree)
    return tree


def begun(tree: Tree) -> list[str]:
    places = tree.begin()
    tree.changed((), ())
    return places


def changed(tree: Tree, *, added: tuple[Path, ...] = (), deleted: tuple[Path, ...] = ()) -> set[str]:
    """The changed files by their names in the root, those that the system reports left out."""
    found = tree.changed([str(path) for path in added], [str(path) for path in deleted])
    rules = tree._rules
    return set(concerned(rules, {os.path.relpath(path, tree._root) for path in found}).get("web", ()))


def written(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def swapped(link: Path, target: str) -> None:
    """As `ln -sfn` and Kubernetes do it: another link takes its name."""
    new = link.with_name("..new")
    new.symlink_to(target)
    new.rename(link)


@pytest.fixture
def config_map(tmp_path: Path) -> Path:
    """A volume as Kubernetes mounts a ConfigMap: the files are links into `..data`, a link that is swapped."""
    folder = tmp_path / "config"
    written(folder / "..1" / "app.yml", "a: 1")
    (folder / "..data").symlink_to("..1")
    (folder / "app.yml").symlink_to("..data/app.yml")
    return folder


@pytest.mark.parametrize("pattern", ["**", "config", "config/*.yml", "config/app.yml"])
def test_a_config_map_that_is_swapped_has_changed_its_files(tmp_path: Path, config_map: Path, pattern: str) -> None:
    tree = tree_of(tmp_path, pattern)
    written(config_map / "..2" / "app.yml", "a: 1")
    assert changed(tree) == set()
    swapped(config_map / "..data", "..2")
    assert changed(tree, added=(config_map / "..data",)) == {"config/app.yml"}
    assert tree.is_stale  # the new folder is to be watched
    begun(tree)
    assert changed(tree) == set()


def test_a_link_has_changed_with_the_file_that_it_leads_to(tmp_path: Path) -> None:
    target = written(tmp_path / "etc" / "app.yml", "a: 1")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.yml").symlink_to(target)
    tree = tree_of(tmp_path / "app", "**")
    written(target, "a: 12")
    assert changed(tree) == {"app.yml"}
    assert not tree.is_stale
    other = written(tmp_path / "etc" / "other", "a: 99")
    other.rename(target)
    assert changed(tree) == {"app.yml"}
    target.unlink()
    assert changed(tree) == {"app.yml"}
    assert changed(tree) == set()


def test_a_link_that_appears_is_followed_from_then_on(tmp_path: Path) -> None:
    target = written(tmp_path / "etc" / "app.yml", "a: 1")
    root = tmp_path / "app"
    root.mkdir()
    tree = tree_of(root, "**")
    (root / "app.yml").symlink_to(target)
    changed(tree, added=(root / "app.yml",))
    written(target, "a: 12")
    assert changed(tree) == {"app.yml"}
    (root / "app.yml").unlink()
    assert changed(tree, deleted=(root / "app.yml",)) == {"app.yml"}
    written(target, "a: 123")
    assert changed(tree) == set()


def test_a_link_to_a_folder_that_is_swapped_has_changed_everything_in_it(tmp_path: Path) -> None:
    written(tmp_path / "1" / "a.py")
    written(tmp_path / "2" / "deep" / "b.py")
    root = tmp_path / "app"
    root.mkdir()
    (root / "lib").symlink_to("../1")
    tree = tree_of(root, "lib/**/*.py")
    swapped(root / "lib", "../2")
    assert changed(tree) == {"lib/deep/b.py"}
    assert tree.is_stale


def test_a_watched_folder_that_is_removed_and_made_again_has_changed(tmp_path: Path) -> None:
    """Its number may be the same."""
    source = written(tmp_path / "src" / "a.py")
    tree = tree_of(tmp_path, "src/**")
    assert changed(tree, deleted=(source, source.parent)) == {"src/a.py"}
    assert tree.is_stale


def test_a_watched_folder_that_is_missing_for_a_while_has_changed_when_it_is_back(tmp_path: Path) -> None:
    source = written(tmp_path / "src" / "a.py")
    tree = tree_of(tmp_path, "src/**")
    source.unlink()
    source.parent.rmdir()
    changed(tree, deleted=(source.parent,))
    assert tree.is_stale
    assert begun(tree) == [str(tmp_path)]
    written(source)
    assert changed(tree) == {"src/a.py"}
    assert tree.begin() == [str(source.parent)]


def test_a_watched_folder_whose_parent_was_replaced_has_changed(tmp_path: Path) -> None:
    written(tmp_path / "app" / "src" / "a.py")
    written(tmp_path / "new" / "src" / "b.py")
    tree = tree_of(tmp_path, "app/src/**")
    (tmp_path / "app").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "app")
    assert changed(tree) == {"app/src/b.py"}
    assert tree.is_stale


def test_nothing_is_watched_while_the_root_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "app"
    written(root / "a.py")
    tree = tree_of(root, "**")
    root.rename(tmp_path / "old")
    changed(tree)
    assert begun(tree) == []
    assert changed(tree) == set()
    (tmp_path / "old").rename(root)
    assert changed(tree) == {"a.py"}
    assert tree.begin() == [str(root)]


def test_a_folder_that_appears_with_files_in_it_has_changed_with_each(tmp_path: Path) -> None:
    """As a checkout of another branch makes it: faster than it can be watched."""
    tree = tree_of(tmp_path, "src/**/*.py", ".config/**")
    for name in ("src/new/a.py", "src/new/deep/b.py", "src/new/notes.txt", "src/new/node_modules/x.py"):
        written(tmp_path / name)
    assert changed(tree, added=(tmp_path / "src" / "new",)) == {"src/new/a.py", "src/new/deep/b.py"}


def test_a_change_before_the_watch_has_begun_is_seen(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, "**")
    tree.begin()
    written(tmp_path / "a.py")
    assert changed(tree) == {"a.py"}
    assert changed(tree) == set()


def test_folders_that_no_pattern_leads_to_are_not_searched(tmp_path: Path) -> None:
    target = written(tmp_path / "etc" / "x", "1")
    for name in (".git", "node_modules", "docs", "src", "src/deep"):
        (tmp_path / "app" / name).mkdir(parents=True)
        (tmp_path / "app" / name / "x.py").symlink_to(target)
    tree = tree_of(tmp_path / "app", "src/*.py", "lib/**")
    links = {os.path.relpath(path, tmp_path / "app") for path in tree._marks if os.path.islink(path)}
    assert links == {"src/x.py"}


def test_a_terminal_behind_a_link_changes_with_no_line(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    (tmp_path / "out").symlink_to(f"/proc/{os.getpid()}/fd/{writer}")
    tree = tree_of(tmp_path, "**")
    os.write(writer, b"x")
    assert changed(tree) == set()
    os.close(reader)
    os.close(writer)
