"""How long a check takes: `python tests/benchmark_check.py` prints CPU-seconds, torch already imported.

Every exercise with the lesson's own version, with every wrong version of the catalogue (which is named, so that it
costs most), and with every right variant of tests/check_variants.py.
"""

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))


def main():
    torch.set_num_threads(1)
    start = time.process_time()
    from check_variants import RIGHT

    from llama_tutorial.classroom.judge.check import check, judge
    from llama_tutorial.classroom.judge.parts import parts

    print(f"{'':22}{'ours':>8}{'wrong':>8}{'mean':>8}{'max':>8}   CPU-seconds")
    everything = []
    for name, part in parts().items():
        ours = judge(part.reference, part).seconds
        wrong = [judge(version, part).seconds for _, version in part.wrong()]
        everything += [ours, *wrong]
        print(f"{name:22}{ours:8.2f}{len(wrong):8}{sum(wrong) / len(wrong):8.2f}{max(wrong):8.2f}")
    right = [check(obj, exercise).seconds for obj, exercise in RIGHT]
    everything += right
    print(f"{'right variants':22}{'':8}{len(right):8}{sum(right) / len(right):8.2f}{max(right):8.2f}")
    start_page = time.process_time()
    part = parts()["rms_norm"]
    pages = [judge(part.wrong()[0][1], part)._repr_html_() for _ in range(5)]
    print(f"the page of a mistake, with its picture: {(time.process_time() - start_page) / len(pages):.2f}")
    mean = sum(everything) / len(everything)
    print(f"{'all':22}{'':8}{len(everything):8}{mean:8.2f}{max(everything):8.2f}")
    print(f"with imports: {time.process_time() - start:.0f} CPU-seconds")


if __name__ == "__main__":
    main()
