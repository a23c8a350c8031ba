"""What pyproject.toml cannot say: demos and glossary stand beside the package and are shipped inside it."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = {"demos": "demos/[0-9]*.py", "pages": "docs/glossary.md"}


class BuildWithPages(build_py):
    """Copies the files into a build; an editable installation finds them where they are."""

    def _copies(self):
        if self.editable_mode:
            return []
        found = [(folder, path) for folder, files in SHIPPED.items() for path in sorted(Path().glob(files))]
        return [(path, Path(self.build_lib, "elbo_lab", folder, path.name)) for folder, path in found]

    def run(self):
        super().run()
        for source, target in self._copies():
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))

    def get_outputs(self, include_bytecode=True):
        return [*super().get_outputs(include_bytecode), *(str(target) for _, target in self._copies())]


setup(cmdclass={"build_py": BuildWithPages})
