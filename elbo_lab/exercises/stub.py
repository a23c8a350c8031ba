"""The file that a student begins with."""

import textwrap

from elbo_lab.exercises.base import Exercise, Function

FILL = "...  # your lines in place of this one"


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
    functions = "\n\n\n".join(_function(one) for one in exercise.functions)
    example = textwrap.indent(exercise.example.strip(), "    ")
    return f'''"""{exercise.title}

{exercise.statement.strip()}

Lesson: docs/{exercise.lesson}. Time: about {exercise.minutes} minutes.
Check:  elbo-lab exercise check {file}
"""

import numpy as np

EXERCISE = "{exercise.name}"
SEED = {seed}  # yours; the numbers of the check are drawn from it


{material}{functions}


if __name__ == "__main__":
{example}
'''


def _function(function: Function) -> str:
    doc = textwrap.indent(function.doc.strip(), "    ").strip()
    end = "\n    " if "\n" in doc else ""
    return f'def {function.name}({function.arguments}):\n    """{doc}{end}"""\n    {FILL}'
