import { execFile } from 'node:child_process'
import { chmod, mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A file system of a few megabytes in memory, which can be filled up. Linux, and root. */
export class SmallDisk {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  /** Mounts one; undefined, with a notice, where that is not allowed. */
  static async mount(folder: string, megabytes: number): Promise<SmallDisk | undefined> {
    await mkdir(folder, { recursive: true })
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder])
    } catch (error) {
      console.warn(`SKIPPED: full disks, since no file system can be mounted: ${(error as Error).message.trim()}`)
      return undefined
    }
    await chmod(folder, 0o755)
    return new SmallDisk(folder)
  }

  async fill(): Promise<void> {
    const file = await open(join(this.folder, 'filler'), 'a')
    try {
      for (;;) await file.write(Buffer.alloc(4_096))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      await file.close()
    }
  }

  async empty(): Promise<void> {
    await rm(join(this.folder, 'filler'), { force: true })
  }

  async unmount(): Promise<void> {
    await run('umount', ['-l', this.folder])
  }
}
