"""The figures, one file for each lesson, named as the lesson is; every public function is one."""
