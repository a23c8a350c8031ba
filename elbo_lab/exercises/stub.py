"""The file that a student begins with."""

import textwrap
from pathlib import PurePath

from elbo_lab.exercises.base import Exercise, Function, Scene

FILL = "...  # your lines in place of this one"
GUESS = "return None  # your guess in place of None; the first one counts"


def file_name(exercise: Exercise) -> str:
    """Return the usual name of the student's file: log_sum_exp.py."""
    return f"{exercise.name.replace('-', '_')}.py"


def stub(exercise: Exercise, seed: int, file: str) -> str:
    """Return the source of a student's file.

    Parameters
    ----------
    exercise : Exercise
    seed : int
        The student's own; the check draws its numbers from it.
    file : str
        Its name, for the line that says how to check.
    """
    material = exercise.material(seed).strip() + "\n\n\n" if exercise.material else ""
    scene = exercise.scene_of(seed)
    functions = "\n\n\n".join(_function(one, scene) for one in exercise.functions)
    example = textwrap.indent(exercise.example.strip(), "    ")
    # In a docstring a backslash or a quote of its name would be read as Python.
    typed = PurePath(file).as_posix().replace("\\", "\\\\").replace('"', '\\"')
    return f'''"""{exercise.title}

{exercise.statement.strip()}

Lesson: docs/{exercise.lesson}. Time: about {exercise.minutes} minutes.
Check:  elbo-lab exercise check {typed}
"""

import numpy as np

EXERCISE = "{exercise.name}"
SEED = {seed}  # yours; the numbers of the check are drawn from it


{material}{functions}


if __name__ == "__main__":
{example}
'''


def _function(function: Function, scene: Scene) -> str:
    doc = textwrap.indent(function.doc.strip(), "    ").strip()
    end = "\n    " if "\n" in doc else ""
    fill = GUESS if function.guess else FILL
    lines = textwrap.indent((function.given(scene) if function.given else fill).strip(), "    ")
    return f'def {function.name}({function.arguments}):\n    """{doc}{end}"""\n{lines}'
