"""One job of a sweep, from its first step or from where its run stands."""

from rnnscope.config.compose import Composition
from rnnscope.config.schema import TrainConfig
from rnnscope.pipeline.fit import fit_composed
from rnnscope.pipeline.options import Job
from rnnscope.pipeline.resume import resume_run
from rnnscope.runs.folder import RunFolder


def train_or_resume(config: TrainConfig, composition: Composition, job: Job) -> None:
    """Train `config` in the job's folder, or go on with the run that is there.

    Raises:
        UserError: for anything the user can mend.
    """
    run = RunFolder(job.folder)
    if run.record.exists():
        resume_run(run, job=job)
    else:
        fit_composed(config, composition, job)
