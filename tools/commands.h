// The sub-commands of hone, one file each. argv[0] is the sub-command's name; the result is the exit status.
#pragma once

namespace hone {

int TrainCommand(int argc, char** argv);
int ResumeCommand(int argc, char** argv);
int GenerateCommand(int argc, char** argv);
int LogprobsCommand(int argc, char** argv);
int DistillCommand(int argc, char** argv);
int EvalCommand(int argc, char** argv);
int ScoreCommand(int argc, char** argv);
int ExportCommand(int argc, char** argv);
int MergeCommand(int argc, char** argv);
int TokenizeCommand(int argc, char** argv);
int ListCommand(int argc, char** argv);
int InspectCommand(int argc, char** argv);
int BenchCommand(int argc, char** argv);
int VersionCommand(int argc, char** argv);

}  // namespace hone
