def write_report(run, out):
    return run.report
