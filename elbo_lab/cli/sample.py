"""elbo-lab sample: draw from a stored model."""


def add_parser(commands):
    """Add this subcommand."""
    parser = commands.add_parser("sample", help="generate data from a stored model")
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="as written by 'elbo-lab fit --checkpoint'")
    add("--out", required=True, metavar="DIR", help="folder of samples.npz and the figures")
    add("--count", type=int, default=1000, metavar="N", help="samples in samples.npz (default 1000)")
    add("--seed", type=int, default=0, metavar="N", help="reproduces the samples (default 0)")
    parser.set_defaults(run=run)


def run(options):
    """Draw, write."""
    from elbo_lab.files import check_folder_writable
    from elbo_lab.fitting import load_fitted
    from elbo_lab.fitting.samples import write_samples

    check_folder_writable("--out", options.out)
    stored = load_fitted(options.checkpoint)
    figures = write_samples(stored, options.out, options.count, options.seed)
    print(
        f"written: {options.out}/samples.npz ({options.count} rows x {stored.model.n_columns}), "
        f"{', '.join(figures)} (PNG and SVG)"
    )
